"""Feature stores: bytes changed, cut, cleared and swapped, and parts edited through HDF5.

A store of the present version must be right or be refused. Stores of version 1 have no checksums,
so that other data may be read from them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fuzzing import RIGHT, UNCHECKED, WrongError, damaged, refusal, with_blocks_wrong
from nr3d.errors import FeatureStoreError
from nr3d.features import SPLITS, FeatureStore, FeatureWriter, Origin, Row

NAME = "features.h5"
COUNTS = {"train": 3, "query": 4, "gallery": 5}
WIDTH = 16


def make(folder: Path) -> Callable[[np.random.Generator], str]:
    """Write a good store of each version."""
    path = folder / NAME
    origin = Origin(
        dataset="mars",
        weights="model.pth",
        weights_sha256="ab" * 32,
        settings={"height": 224, "norm_mean": [0.485, 0.456, 0.406]},
        config={"test": {"ranks": [1, 5]}},
        versions={"nr3d": "0.2.0"},
        tracklets=COUNTS,
    )
    rows = [_row(split, index) for split in SPLITS for index in range(COUNTS[split])]
    with FeatureWriter(path, origin) as writer:
        for row in rows:
            writer.append(row)
    good = {2: (path.read_bytes(), _everything(path))}
    path.unlink()
    _write_version_1(path, rows, origin)
    good[1] = path.read_bytes(), _everything(path)

    def attempt(rng: np.random.Generator) -> str:
        version = 1 if rng.integers(4) == 0 else 2
        data, expected = good[version]
        kind = int(rng.integers(10))
        if kind < 3:
            path.write_bytes(data)
            try:
                _edit(path, rng)
            except (OSError, KeyError, ValueError, TypeError, RuntimeError, OverflowError):
                return RIGHT  # HDF5 refused to write the damage
        else:
            path.write_bytes(damaged(data, rng) if kind < 8 else with_blocks_wrong(data, rng))
        try:
            found = _everything(path)
        except FeatureStoreError as error:
            return refusal(error, NAME)
        if found == expected:
            return RIGHT
        if version == 1:
            return UNCHECKED
        raise WrongError(f"{found} is not {expected}")

    return attempt


def _row(split: str, index: int) -> Row:
    rng = np.random.default_rng([index, len(split)])
    frames = 1 + index
    return Row(
        split=split,
        index=index,
        pid=index // 2,
        camid=index % 2,
        name=f"{index:04d}/{index:04d}C1T0001F001.jpg",
        feature=rng.standard_normal(WIDTH).astype(np.float32),
        clips=1 + index // 4,
        frame_weights=rng.random(frames).astype(np.float32),
    )


def _everything(path: Path) -> list[Any]:
    """Return everything that can be read from a store, in a form that can be compared."""
    store = FeatureStore(path)
    found: list[Any] = [store.version, store.counts, store.expected, store.complete]
    found += [store.origin, sorted(store.keys()), store.attention]
    for split in SPLITS:
        of_split = store.load(split)
        found += [of_split.features.numpy().tobytes(), list(of_split.names)]
        arrays = of_split.labels.pids, of_split.labels.camids, of_split.clips, of_split.frames
        found += [array.tolist() for array in arrays]
        found += [weights.tobytes() for weights in store.frame_weights(split)]
    return found


def _write_version_1(path: Path, rows: list[Row], origin: Origin) -> None:
    """Write a store in version 1, which has no checksums."""
    with h5py.File(path, "w") as file:
        file.attrs.update(format="nr3d features", version=1, complete=True)
        for name in ("dataset", "weights", "weights_sha256"):
            file.attrs[name] = getattr(origin, name)
        for name in ("settings", "config", "versions"):
            file.attrs[name] = json.dumps(getattr(origin, name))
        columns: dict[str, tuple[list[Any], Any]] = {
            name: ([getattr(row, name) for row in rows], "i8")
            for name in ("index", "pid", "camid", "frames", "clips")
        }
        columns["first_frame"] = [0, *np.cumsum([row.frames for row in rows])[:-1]], "i8"
        for name in ("split", "name"):
            columns[name] = [getattr(row, name) for row in rows], h5py.string_dtype()
        columns["frame_weights"] = [w for row in rows for w in row.frame_weights], "f4"
        for name, (values, dtype) in columns.items():
            file.create_dataset(name, data=values, dtype=dtype, maxshape=(None,), chunks=(64,))
        features = np.stack([row.feature for row in rows])
        file.create_dataset("features", data=features, maxshape=(None, None), chunks=(8, WIDTH))


def _edit(path: Path, rng: np.random.Generator) -> None:
    """Change, replace or remove an attribute or a dataset."""
    with h5py.File(path, "r+") as file:
        what = int(rng.integers(6))
        attribute = sorted(file.attrs)[int(rng.integers(len(file.attrs)))]
        name = sorted(file)[int(rng.integers(len(file)))]
        values: list[Any] = [0, 1, -1, 2**40, 0.5, "", "{}", "mars", "[1, 2]", b"\xff", [1, 2]]
        value = values[int(rng.integers(len(values)))]
        if what == 0:
            file.attrs[attribute] = value
        elif what == 1:
            del file.attrs[attribute]
        elif what == 2:
            del file[name]
            if rng.integers(2):
                shape = [(), (0,), (3,), (12,), (12, WIDTH)][int(rng.integers(5))]
                file.create_dataset(name, shape, ["i8", "f4", "u4", "S4"][int(rng.integers(4))])
            elif rng.integers(2):
                file.create_group(name)
        else:
            dataset = file[name]
            place = tuple(int(rng.integers(size)) for size in dataset.shape)
            if dataset.dtype.kind in "SO":
                dataset[place] = [b"query", b"train", b"0001/x.jpg", b""][int(rng.integers(4))]
            elif what == 3 and dataset.dtype.kind == "f":
                dataset[place] = [np.nan, np.inf, 0.0, 1.0][int(rng.integers(4))]
            elif what == 4:
                dataset[place] = int(rng.integers(-3, 20))
            else:
                dataset[place] = [2**31 - 1, -1, 0, 7][int(rng.integers(4))]
