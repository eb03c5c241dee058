"""Datasets' tables, lists of names, splits and indices, damaged by bytes or by values.

A dataset that passes ``data check`` must load, and one in which it finds an error must be refused
with that finding. Changed numbers or names that are consistent cannot be detected: unchecked.
"""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from PIL import Image
from scipy.io import loadmat, savemat

from fuzzing import RIGHT, UNCHECKED, WrongError, damaged, refusal
from nr3d.checking import check_dataset
from nr3d.data import convert
from nr3d.data.converted.index import INDEX
from nr3d.data.datasets.splits import ILIDSVID_TABLE
from nr3d.data.loading import load_dataset
from nr3d.errors import ConfigError, DataError
from nr3d.synthetic import write_mars, write_prid2011

_NUMBERS = (0, -1, 1, 2, 7, 99, 300, 301, 1.5, 1e20, -1e20, 2**31, 2**53, 2.0**63, np.nan, np.inf)
_VALUES = (
    *([], {}, 5, 0, -1, 1.5, None, True, "", "x", "..", "a/b", [[]], [None], {"a": {}}, 10**30),
    *(float("nan"), "\x00\x1b[31m", "\ud800", "\udcff", "x" * 300, [1] * 50, "train", "test"),
)
_ON_DISK = ("Frames of tracklets that are not in", f"Frames of {INDEX} that are not on disk")
"""Errors of the check that loading a dataset leaves to the reading of its frames."""

_MOST_SPLITS = 12


@dataclass(frozen=True)
class _File:
    """A file to damage.

    Args:
        dataset: torchreid's name of the dataset.
        path: path of the file.
        other: function that returns damaged bytes for the good ones.
        share: relative frequency with which the file is chosen.
    """

    dataset: str
    path: Path
    other: Callable[[bytes, np.random.Generator], bytes]
    share: int = 4


def make(folder: Path) -> Callable[[np.random.Generator], str]:
    """Write a small dataset of each layout."""
    write_mars(folder, 4, 0, frames=(2, 3))
    write_prid2011(folder, 4, 0, frames=(1, 2))
    _write_ilidsvid(folder)
    _write_tree(folder / "shop")
    info = folder / "mars" / "info"
    files = [
        *(_File("mars", info / f"tracks_{part}_info.mat", _other_mat) for part in PARTS),
        _File("mars", info / "query_IDX.mat", _other_mat),
        *(_File("mars", info / f"{part}_name.txt", _other_list) for part in PARTS),
        _File("prid2011", folder / "prid2011" / "splits_prid2011.json", _other_json),
        _File("shop", folder / "shop" / INDEX, _other_json),
        # Its 600 folders take long to search.
        _File("ilidsvid", folder / "ilids-vid" / ILIDSVID_TABLE, _other_mat, share=1),
    ]
    whole = {file.path: file.path.read_bytes() for file in files}
    right = {name: _loaded(name, folder, 0) for name in ("mars", "prid2011", "shop", "ilidsvid")}
    made = folder / "ilids-vid" / "splits.json"
    taken = [file for file in files for _ in range(file.share)]

    def attempt(rng: np.random.Generator) -> str:
        file = taken[int(rng.integers(len(taken)))]
        made.unlink(missing_ok=True)
        file.path.write_bytes(file.other(whole[file.path], rng))
        try:
            return _outcome(file, folder, right[file.dataset])
        finally:
            file.path.write_bytes(whole[file.path])

    return attempt


PARTS = ("train", "test")


def _outcome(file: _File, folder: Path, right: Any) -> str:
    report = check_dataset(file.dataset, folder, quick=True)
    errors = [e for e in report.of("error") if not e.what.startswith(_ON_DISK)]
    loaded = []
    try:
        for split in range(_MOST_SPLITS):
            loaded.append(_loaded(file.dataset, folder, split))
    except ConfigError as error:
        refusal(error, "data.split_id")
    except DataError as error:
        message = str(error)
        # A place is shown in one line, shortened if necessary.
        if not any(e.what in message and e.remedy in message for e in errors) or "\n" in message:
            raise WrongError(
                f"{message[:900]!r}, found {[e.what for e in errors]}"[:1500]
            ) from error
        return refusal(error, str(folder), file.path.name)
    if errors:
        raise WrongError(f"loaded with {errors[0].what!r}: {errors[0].places[:3]}"[:900])
    return RIGHT if loaded[0] == right else UNCHECKED


def _loaded(name: str, root: Path, split: int) -> Any:
    dataset = load_dataset(name, root, split, combineall=False)
    return dataset.train, dataset.query, dataset.gallery


def _other_mat(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage the bytes of a MATLAB file, or write another table."""
    if rng.integers(2):
        return damaged(data, rng)
    content = loadmat(io.BytesIO(data))
    (key,) = (key for key in content if not key.startswith("__"))
    table = content[key].astype(np.float64)
    row, column = (int(rng.integers(size)) for size in table.shape)
    edits: tuple[Callable[[], Any], ...] = (
        lambda: table,
        lambda: table.astype(str(rng.choice(["f4", "i1", "u1", "i2", "i4", "i8", "u8"]))),
        lambda: table[:, column:],
        lambda: table[row:],
        lambda: table[:row],
        lambda: table.T,
        lambda: table[np.newaxis],
        lambda: np.concatenate([table, table[row:]]),
        lambda: rng.permutation(table),
        lambda: table * 1j,
        lambda: table > 1,
        lambda: scipy.sparse.csc_matrix(table),
        lambda: {"table": table},
        lambda: np.array([table, "x"], object),
        lambda: str(table.tolist()),
    )
    with np.errstate(all="ignore"):
        other = edits[int(rng.integers(len(edits)))]() if rng.integers(3) == 0 else table
    if other is table:
        for _ in range(int(rng.integers(1, 4))):
            place = int(rng.integers(table.shape[0])), int(rng.integers(table.shape[1]))
            near = table[place] + rng.integers(-3, 4)
            table[place] = near if rng.integers(2) else _NUMBERS[int(rng.integers(len(_NUMBERS)))]
    written, plain = io.BytesIO(), isinstance(other, np.ndarray) and other.dtype == np.float64
    version = "4" if plain and other.ndim == 2 and rng.integers(4) == 0 else "5"
    name = key if rng.integers(20) else "other"
    savemat(written, {name: other}, format=version, do_compression=bool(rng.integers(2)))
    return written.getvalue()


def _other_list(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage the bytes or the lines of a list."""
    if rng.integers(2):
        return damaged(data, rng)
    lines = data.splitlines()
    row, other = (int(rng.integers(len(lines))) for _ in range(2))
    edits: tuple[Callable[[], bytes], ...] = (
        lambda: b"\r\n".join(lines),
        lambda: b"\r".join(lines),
        lambda: b"\xef\xbb\xbf" + data,
        lambda: data.decode().encode("utf-16"),
        lambda: b" \n".join(lines) + b"\n\n\n",
        lambda: b"\n".join([*lines[:row], b"", *lines[row:]]),
        lambda: b"\n".join([*lines[:row], *lines[row + 1 :]]),
        lambda: b"\n".join([*lines[:row], lines[other], *lines[row + 1 :]]),
        lambda: b"\n".join([*lines[:row], lines[row].upper(), *lines[row + 1 :]]),
        lambda: b"\n".join([*lines[:row], lines[row] * 1000, *lines[row + 1 :]]),
        lambda: bytes(int(rng.integers(1, 4096))),
        lambda: rng.bytes(int(rng.integers(1, 4096))),
        lambda: b"\n" * 200_000 + b"x",
        lambda: data.replace(b"F0", b"F\xff", 1),
        lambda: data.replace(b"C1", "C\u0661".encode(), 1),
    )
    return edits[int(rng.integers(len(edits)))]()


def _other_json(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage the bytes of a JSON file, or replace some of its values."""
    kind = int(rng.integers(20))
    if kind < 9:
        return damaged(data, rng)
    if kind == 9:
        deep = int(rng.integers(1, 100_000))
        return (b"[" * deep, b'{"a":' * deep, b"9" * deep)[int(rng.integers(3))]
    content: Any = json.loads(data)
    for _ in range(int(rng.integers(1, 3))):
        places = _places(content)
        if not places:
            break
        owner, key = places[int(rng.integers(len(places)))]
        choice = int(rng.integers(6))
        if choice == 0:
            del owner[key]
        elif choice < 3:  # a value from another place
            giver, taken = places[int(rng.integers(len(places)))]
            owner[key] = copy.deepcopy(giver[taken])
        else:
            owner[key] = copy.deepcopy(_VALUES[int(rng.integers(len(_VALUES)))])
    return json.dumps(content).encode()


def _places(content: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    if isinstance(content, list | dict):
        for key in range(len(content)) if isinstance(content, list) else content:
            found += [(content, key), *_places(content[key])]
    return found


def _write_ilidsvid(root: Path) -> None:
    """Write iLIDS-VID with one frame per person and camera; its table requires 300 people."""
    base, frame = root / "ilids-vid", root / "frame.png"
    Image.new("RGB", (4, 8)).save(frame)
    for camera in ("cam1", "cam2"):
        for person in range(1, 301):
            home = base / "i-LIDS-VID" / "sequences" / camera / f"person{person:03d}"
            home.mkdir(parents=True)
            (home / "00001.png").hardlink_to(frame)
    rng = np.random.default_rng(0)
    table = np.array([rng.permutation(300) + 1 for _ in range(10)], np.uint16)
    (base / ILIDSVID_TABLE).parent.mkdir()
    savemat(base / ILIDSVID_TABLE, {"ls_set": table})


def _write_tree(folder: Path) -> None:
    """Write a plain tree of six people under two cameras, and convert it."""
    for person in range(6):
        for camera in ("door", "till"):
            for take in ("1", "2"):
                home = folder / f"p{person}" / camera / take
                home.mkdir(parents=True)
                for frame in ("1.png", "2.png"):
                    Image.new("RGB", (4, 8)).save(home / frame)
    convert(folder)
