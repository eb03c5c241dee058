"""Feature stores of version 1, which have neither checksums nor the numbers of tracklets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from nr3d.features import Origin, Row


def write_version_1(path: Path, rows: Sequence[Row], origin: Origin, *, complete: bool) -> Path:
    """Write a store of version 1, with chunks that can grow and texts of variable length."""
    frames = [row.frames for row in rows]
    with h5py.File(path, "w") as file:
        file.attrs.update(
            format="nr3d features",
            version=1,
            complete=complete,
            dataset=origin.dataset,
            weights=origin.weights,
            weights_sha256=origin.weights_sha256,
        )
        for name in ("settings", "config", "versions"):
            file.attrs[name] = json.dumps(getattr(origin, name))

        def column(name: str, values: object, dtype: object, chunk: int = 4096) -> None:
            file.create_dataset(name, data=values, dtype=dtype, maxshape=(None,), chunks=(chunk,))

        for name in ("index", "pid", "camid", "frames", "clips"):
            column(name, np.array([getattr(row, name) for row in rows], "i8"), "i8")
        column("first_frame", np.cumsum([0, *frames])[:-1], "i8")
        for name in ("split", "name"):
            column(name, [getattr(row, name) for row in rows], h5py.string_dtype())
        column("frame_weights", np.concatenate([row.frame_weights for row in rows]), "f4", 65536)
        features = np.stack([row.feature for row in rows])
        file.create_dataset(
            "features", data=features, dtype=origin.dtype, maxshape=(None, None), chunks=(64, 512)
        )
    return path


def as_version_1(path: Path, old: Path, *, complete: bool, leave_out: int = 0) -> Path:
    """Write the rows of a store, except for the last few, as a store of version 1."""
    from nr3d.features.store.contents import reading

    with reading(path) as contents:
        rows, origin = list(contents.rows()), contents.header.origin
    return write_version_1(old, rows[: len(rows) - leave_out], origin, complete=complete)
