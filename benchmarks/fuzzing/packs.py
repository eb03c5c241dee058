"""Packs: bytes changed, cut, cleared and swapped, and parts edited through HDF5.

A pack must be right or be refused when it is opened or a frame is read. Packs from before there was
a digest of the tables may have other tables.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fuzzing import REFUSED, RIGHT, UNCHECKED, WrongError, damaged, refusal, with_blocks_wrong
from nr3d.data import Pack, pack
from nr3d.errors import DataError
from nr3d.synthetic import WRITERS

NAME = "mars.h5"
PARTS = ("train", "query", "gallery")


def make(folder: Path) -> Callable[[np.random.Generator], str]:
    """Write a good pack, and one from before packs had a digest."""
    WRITERS["mars"](folder, 4, 0, frames=(1, 2))
    path = pack(folder, "mars", folder / NAME, workers=1).file
    good = {True: (path.read_bytes(), _everything(path))}
    _without_digest(path)
    good[False] = path.read_bytes(), _everything(path)
    if good[True][1] != good[False][1]:
        raise WrongError("the two packs differ")

    def attempt(rng: np.random.Generator) -> str:
        with_digest = bool(rng.integers(4))
        data, expected = good[with_digest]
        kind = int(rng.integers(10))
        if kind < 3:
            path.write_bytes(data)
            try:
                with_digest &= _edit(path, rng)
            except (OSError, KeyError, ValueError, TypeError, RuntimeError, OverflowError):
                return RIGHT  # HDF5 refused to write the damage
        elif kind < 8:
            # Most of a pack consists of frames; half of the damage is done to the other parts.
            start = data.index(b"\xff\xd8\xff") if rng.integers(2) else len(data)
            path.write_bytes(damaged(data[:start], rng) + data[start:])
        else:
            path.write_bytes(with_blocks_wrong(data, rng))
        try:
            found = _everything(path)
        except DataError as error:
            return refusal(error, NAME)
        except OSError as error:  # from a frame
            if "do not fit their CRC-32" in str(error) and NAME in str(error):
                return REFUSED
            raise
        if found == expected:
            return RIGHT
        if not with_digest:
            return UNCHECKED
        raise WrongError(f"{found} is not {expected}")

    return attempt


def _everything(path: Path) -> list[Any]:
    """Return everything that can be read from a pack, in a form that can be compared."""
    opened = Pack(path)
    found: list[Any] = [opened.dataset, opened.split_id, len(opened)]
    found += [opened.tracklets(part) for part in PARTS]
    found += [(opened.frame(index), opened.read(index)) for index in range(len(opened))]
    return found


def _without_digest(path: Path) -> None:
    """Rewrite a pack as older versions wrote it: without a digest, in HDF5's oldest format."""
    with h5py.File(path) as file:
        attributes = {name: value for name, value in file.attrs.items() if name != "tables"}
        names: list[str] = []
        file.visit(names.append)
        tables = {name: file[name][()] for name in names if isinstance(file[name], h5py.Dataset)}
    path.unlink()
    with h5py.File(path, "w") as file:
        file.attrs.update(attributes)
        contiguous = {name: tables.pop(name) for name in ("frames/crc32", "bytes")}
        for name, table in tables.items():
            file.create_dataset(name, data=table, compression="gzip", fletcher32=True)
        for name, table in contiguous.items():
            file.create_dataset(name, data=table)


def _edit(path: Path, rng: np.random.Generator) -> bool:
    """Change, replace or remove an attribute or a table; return whether the digest is left."""
    with h5py.File(path, "r+") as file:
        what = int(rng.integers(5))
        attribute = sorted(file.attrs)[int(rng.integers(len(file.attrs)))]
        names: list[str] = []
        file.visit(names.append)
        name = names[int(rng.integers(len(names)))]
        values: list[Any] = [0, 1, -1, 2**40, 0.5, "", "mars", "ilidsvid", b"\xff", [1, 2]]
        if what == 0:
            file.attrs[attribute] = values[int(rng.integers(len(values)))]
        elif what == 1:
            del file.attrs[attribute]
        elif what == 2:
            del file[name]
            if rng.integers(2):
                shape = [(), (0,), (3,), (40,), (4, 2)][int(rng.integers(5))]
                file.create_dataset(name, shape, ["i8", "f4", "u4", "S4"][int(rng.integers(4))])
        elif isinstance(file[name], h5py.Dataset):
            table = file[name]
            place = int(rng.integers(len(table)))
            changed = [0, -1, 1, 2**31 - 1, int(rng.integers(40))][int(rng.integers(5))]
            table[place] = b"x/y.jpg" if table.dtype.kind == "S" else changed
        return "tables" in file.attrs
