"""Files of ``torch.save``: the zip archives of today, and the format before torch 1.6."""

from __future__ import annotations

import io
import sys
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

import torch

from nr3d.weights.pickled import ForeignError, Storage, UnreadableError
from nr3d.weights.unpickling import unpickle
from nr3d.weights.zipped import Archive

_LARGEST_PICKLE = 64 << 20
_LONGEST_LINE = 1000
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


def load_saved(path: Path) -> Any:
    """Return what a file of ``torch.save`` holds, on the CPU.

    Args:
        path: path of the file.

    Raises:
        AsksForCodeError: if the file names something that only running code could provide.
        UnreadableError: if ``torch.save`` did not write the file, or it is damaged.
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        zipped = file.read(4) == b"PK\3\4"
        file.seek(0)
        return _from_zip(file, path) if zipped else _from_stream(file, path.stat().st_size)


def _parts(saved_id: object) -> tuple[torch.dtype, str, int, Any]:
    """Return what a storage's id holds: type, key, number of values, and any view of another."""
    if type(saved_id) is tuple and len(saved_id) in (5, 6):
        what, dtype, key, _, length = saved_id[:5]
        view = saved_id[5] if len(saved_id) == 6 else None
        named = what in ("storage", b"storage") and type(key) is str
        if named and isinstance(dtype, torch.dtype) and type(length) is int and length >= 0:
            return dtype, str(key), length, view
    raise UnreadableError("it has a storage without type, key or length")


class _Stream:
    """Stream of a file, or of bytes in memory, that pickles are read from."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size = file, size

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes."""
        if count > min(_LARGEST_PICKLE, self.size):
            raise UnreadableError("it ends in the middle of its pickle")
        taken = self.file.read(count)
        if len(taken) < count:
            raise UnreadableError("it ends in the middle of its pickle")
        return taken

    def line(self) -> bytes:
        """Return the bytes up to the end of the line, without the line break."""
        line = self.file.readline(_LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise UnreadableError("its pickle has a name without an end")
        return line[:-1]


# Since torch 1.6


def _from_zip(file: BufferedReader, path: Path) -> Any:
    archive = Archive(file, path)
    order = archive.read("byteorder", 16) if "byteorder" in archive else b"little"
    if order not in (b"little", b"big"):
        raise UnreadableError("its byte order is neither little nor big")
    storages: dict[str, torch.UntypedStorage] = {}

    def storage_of(saved_id: object) -> Storage:
        dtype, key, length, _ = _parts(saved_id)
        name, size = f"data/{key}", length * dtype.itemsize
        if name not in archive:
            raise UnreadableError(f"it has no member {name[:80]!r}")
        if archive.size(name) != size:
            raise UnreadableError(
                f"its pickle claims {size:,} bytes in {name}, which has {archive.size(name):,}"
            )
        if key not in storages:
            numbers = torch.empty(size, dtype=torch.uint8)
            archive.read_into(name, numbers)
            storages[key] = numbers.untyped_storage()
            if order.decode() != sys.byteorder:
                storages[key].byteswap(dtype)  # type: ignore[no-untyped-call]
        return Storage(storages[key], dtype, length)

    data = archive.read("data.pkl", _LARGEST_PICKLE)
    value = unpickle(_Stream(io.BytesIO(data), len(data)), storage_of)
    for name in archive.names():
        if name not in ("data.pkl", "byteorder") and name.removeprefix("data/") not in storages:
            archive.check(name)
    return value


# Before torch 1.6: pickles one after the other, then each storage's length and numbers


def _from_stream(file: BufferedReader, size: int) -> Any:
    stream = _Stream(file, size)
    if not _begins_as_saved(stream):
        raise ForeignError(
            "a raw pickle, not of torch.save, or damaged at its start: load it where you trust it, "
            "and save the state dict by torch.save"
        )
    system = unpickle(stream, _no_storage)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise UnreadableError("it was saved on a machine of another byte order, or is damaged")
    storages: dict[str, Storage] = {}
    views: dict[str, Storage] = {}
    total = 0

    def storage_of(saved_id: object) -> Storage:
        nonlocal total
        dtype, key, length, view = _parts(saved_id)
        if key not in storages:
            total += length * dtype.itemsize
            if total > size:
                raise UnreadableError(f"its pickle claims more bytes of numbers than its {size:,}")
            numbers = torch.zeros(length * dtype.itemsize, dtype=torch.uint8).untyped_storage()
            storages[key] = Storage(numbers, dtype, length)
        found = storages[key]
        if (found.dtype, found.length) != (dtype, length):
            raise UnreadableError("its pickle gives a storage two types or lengths")
        return found if view is None else _view(found, view, views)

    value = unpickle(stream, storage_of)
    keys = unpickle(stream, _no_storage)
    if (
        not isinstance(keys, list)
        or not all(type(key) is str for key in keys)
        or sorted(keys) != sorted(storages)
    ):
        raise UnreadableError("its storages are not those of its pickle")
    for key in keys:
        storage = storages[key]
        if int.from_bytes(stream.take(8), "little", signed=True) != storage.length:
            raise UnreadableError("its storages have other lengths than in its pickle")
        place = torch.empty(0, dtype=torch.uint8).set_(storage.numbers).numpy().data
        if file.readinto(place) != len(place):
            raise UnreadableError("it is cut short, in the middle of its numbers")
    return value


def _begins_as_saved(stream: _Stream) -> bool:
    try:
        found = [unpickle(stream, _no_storage) for _ in range(2)]
    except ValueError:
        return False
    return found == [_MAGIC, _PROTOCOL]


def _view(storage: Storage, view: Any, views: dict[str, Storage]) -> Storage:
    """Return a part of a storage, as tensors were saved before torch 0.4."""
    if type(view) is not tuple or len(view) != 3:
        raise UnreadableError("it has a part of a storage without key, start and length")
    key, start, length = view
    if (
        type(key) is not str
        or type(start) is not int
        or type(length) is not int
        or not 0 <= start <= start + length <= storage.length
    ):
        raise UnreadableError("it has a part of a storage that lies beyond it")
    if key not in views:
        width = storage.dtype.itemsize
        numbers = storage.numbers[start * width : (start + length) * width]
        views[key] = Storage(numbers, storage.dtype, length)
    return views[key]


def _no_storage(saved_id: object) -> Storage:
    raise UnreadableError("it has numbers where torch.save writes none")
