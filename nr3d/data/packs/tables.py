"""The content of a future pack: a dataset's files, their sizes, and its tracklets as tables."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nr3d.data.datasets.parts import PURPOSES, SPLITS, GivenOrder
from nr3d.data.datasets.splits import SPLIT_FILES
from nr3d.data.images import has_image_splits
from nr3d.data.loading import load_dataset
from nr3d.data.packs.reading import NO_SPLIT
from nr3d.data.packs.threads import spread
from nr3d.errors import DataError
from nr3d.files.home import expanded
from nr3d.files.regular_files import look
from nr3d.registry import registered_video_datasets


@dataclass(frozen=True)
class PackTables:
    """A dataset as it will be packed; see :mod:`nr3d.data.packs.reading`.

    Args:
        root: folder that holds the datasets' folders.
        dataset: torchreid's name of the dataset.
        split_id: number of the split, from 0.
        names: paths of the frames' files below the root, sorted.
        length: (N,), sizes of the files, in bytes.
        offset: (N,), offsets of the files in the pack, in bytes.
        parts: tables of the tracklets, by split.
        source: SHA-256 that changes with anything in the dataset, including its files.
        marks: further attributes of the pack: what the tracklets are if they are no video, and
            whether their order is given.
    """

    root: Path
    dataset: str
    split_id: int
    names: list[str]
    length: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]
    parts: dict[str, dict[str, npt.NDArray[np.int64]]]
    source: str
    marks: dict[str, str | int]


def list_frames(root: str | Path, dataset: str, split_id: int, workers: int) -> PackTables:
    """Load a dataset and look up the sizes of its files.

    Args:
        root: folder that holds the datasets' folders.
        dataset: torchreid's name of the dataset, or the folder of a converted one.
        split_id: number of the split of a dataset that has several, from 0.
        workers: number of threads.

    Raises:
        DataError: if the dataset cannot be loaded, or a file is missing.
    """
    root = expanded(root, DataError).resolve()
    loaded = load_dataset(dataset, root, split_id, combineall=False)
    tracklets = {part: getattr(loaded, part) for part in SPLITS}
    below = os.path.join(root, "")  # noqa: PTH118 (Path drops the slash at the end)

    def name(path: str) -> str:
        if not path.startswith(below):
            raise DataError(
                f"Dataset {dataset!r} has the frame {path}, which is not below {root}: give the "
                "folder that holds its frames as --root."
            )
        return path.removeprefix(below)

    names = sorted({name(p) for part in SPLITS for paths, *_ in tracklets[part] for p in paths})
    index = {name: place for place, name in enumerate(names)}
    parts = {}
    held = tuple(part for part in SPLITS if tracklets[part])
    if not names or held not in PURPOSES.values():
        lacking = next((part for part in SPLITS if part not in held), "train")
        raise DataError(
            f"Dataset {dataset!r} has no tracklet in its {lacking}, or no frame at all: a pack "
            "holds a dataset to train on, to test on, or both."
        )
    for part in SPLITS:
        rows = tracklets[part]
        paths, pids, camids, dsetids = zip(*rows, strict=True) if rows else ((),) * 4
        columns = {
            "pid": pids,
            "camid": camids,
            "dsetid": dsetids,
            "start": np.cumsum([0, *map(len, paths)]),
            "frame": [index[name(path)] for frames in paths for path in frames],
        }
        parts[part] = {key: np.array(column, np.int64) for key, column in columns.items()}
    length, modified = _look(root, dataset, names, workers)
    of_images = dataset not in registered_video_datasets() and has_image_splits(dataset)
    split_id = split_id if dataset in SPLIT_FILES or of_images else NO_SPLIT
    source = hashlib.sha256(json.dumps([str(root), dataset, split_id, names]).encode())
    for table in (length, modified, *(table for part in SPLITS for table in parts[part].values())):
        source.update(table.tobytes())
    offset = np.cumsum(length) - length
    kinds = {key: getattr(loaded, key, "") for key in ("train_kind", "test_kind")}
    given = any(isinstance(paths, GivenOrder) for part in SPLITS for paths, *_ in tracklets[part])
    marks = {key: kind for key, kind in kinds.items() if kind} | (
        {"given_order": 1} if given else {}
    )
    return PackTables(
        root, dataset, split_id, names, length, offset, parts, source.hexdigest(), marks
    )


def _look(root: Path, dataset: str, names: list[str], workers: int) -> npt.NDArray[np.int64]:
    """Return the sizes of files in bytes and their times in nanoseconds, (2, N)."""

    def look(block: range) -> list[tuple[int, int] | None]:
        return [_size_and_time(root / names[index]) for index in block]

    found = list(spread(look, len(names), workers))
    missing = [name for name, file in zip(names, found, strict=True) if file is None]
    if missing:
        raise DataError(
            f"Dataset {dataset!r} lacks {len(missing)} of its {len(names)} frames in {root}, first "
            f"{missing[0]}: restore them and pack again."
        )
    both: npt.NDArray[np.int64] = np.array(found, np.int64).T
    return both


def _size_and_time(path: Path) -> tuple[int, int] | None:
    try:
        stat = look(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataError(f"Frame {path} cannot be packed ({error}): restore it.") from error
    return stat.st_size, stat.st_mtime_ns
