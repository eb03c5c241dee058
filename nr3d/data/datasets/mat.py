"""Reader of matrices of numbers from MATLAB files.

SciPy reads them too. Its reader is native code that a damaged file can crash, together with the
training that needs the table; it accepts a compressed part of any size and does not check the
part's checksum. The tables of datasets are plain matrices of numbers. This module reads them in
MATLAB's formats 4 and 5 (the options "v6" and "v7" of its ``save``), and refuses everything else,
naming what it is.

Reference:
    MathWorks. MAT-File Format. 2023.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nr3d.errors import DataError, reason_of
from nr3d.files.regular_files import MEBIBYTE, read_whole

_LARGEST = 64 * MEBIBYTE
"""Largest size of a file and of its inflated content, in bytes; MARS's largest has 0.4 MB."""

_FLAGS, _MATRIX, _COMPRESSED = 6, 14, 15
"""Types of data elements: the flags of a matrix, a matrix, and a compressed element."""

_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8"} | {
    13: "u8"
}
"""Types of data elements that hold numbers, with NumPy's name of each."""

_NAMES = (1, 2, 16)
"""Types of data elements that hold a name."""

_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"} | {
    14: "i8",
    15: "u8",
}
"""Classes of matrices of numbers, with NumPy's name of each; stored types may be smaller."""

_OPAQUE = 17
_OTHERS = {
    1: "a cell array",
    2: "a structure",
    3: "an object",
    4: "text",
    5: "a sparse matrix",
    16: "a function",
    _OPAQUE: "an object",
}
_COMPLEX = 0x0800

_OF_VERSION_4 = ("f8", "f4", "i4", "i2", "u2", "u1")
"""NumPy types of the numbers in a matrix of version 4."""

Array: TypeAlias = npt.NDArray[Any]


def read_mat(path: Path, key: str) -> Array:
    """Read a matrix of real numbers from a MATLAB file.

    Args:
        path: path of the file, of format 4 or 5.
        key: name of the matrix.

    Returns:
        array: the matrix, of two dimensions or more, in the type of its MATLAB class.

    Raises:
        DataError: if the file cannot be read, has no such matrix, or holds something else by its
            name; the message says what is wrong, not what to do.
    """
    data = read_whole(path, _LARGEST)
    try:
        names, found = _search(data, key)
    except (ValueError, struct.error, zlib.error) as error:
        raise DataError(f"{path} cannot be read as a MATLAB file ({reason_of(error)})") from error
    if found is None:
        held = ", ".join(name for name in names if name.isprintable() and name)[:80] or "nothing"
        raise DataError(f"{path} holds {held}, expected {key}")
    if isinstance(found, str):
        raise DataError(f"{key} in {path} is {found}, expected a matrix of real numbers")
    return found


def _search(data: bytes, key: str) -> tuple[list[str], Array | str | None]:
    """Return the names of all matrices, and the one of the given name or what it is instead."""
    if data.startswith(b"\x89HDF") or data[512:516] == b"\x89HDF":
        raise ValueError("it is of version 7.3, which is HDF5: save it in MATLAB with '-v7'")
    if len(data) < 20:
        raise ValueError(f"it has {len(data)} bytes")
    matrices = _of_version_4(data, key) if 0 in data[:4] else _of_version_5(data, key)
    names: list[str] = []
    found: Array | str | None = None
    for name, value in matrices:
        if name == key and name in names:
            raise ValueError(f"it holds {key} twice")
        names.append(name)
        found = value if name == key else found
    return names, found


def _shaped(numbers: Array, shape: list[int]) -> Array:
    if not 2 <= len(shape) <= 32 or min(shape) < 0 or math.prod(shape) != len(numbers):
        sizes = " × ".join(map(str, shape[:4]))
        raise ValueError(f"a matrix of {sizes or 'nothing'} has {len(numbers)} numbers")
    return numbers.reshape(shape, order="F")


# Version 5: nested elements, each a tag and its data


def _of_version_5(data: bytes, key: str) -> Iterator[tuple[str, Array | str]]:
    if len(data) < 128 or data[126:128] not in (b"IM", b"MI"):
        raise ValueError("its head is not that of one")
    order = "<" if data[126:128] == b"IM" else ">"
    (version,) = struct.unpack_from(f"{order}H", data, 124)
    if version != 0x0100:
        raise ValueError(f"its version is {version:#06x}, expected 0x0100")
    elements, room = _Elements(memoryview(data), order, 128), _LARGEST
    while elements.left:
        kind, body = elements.take()
        if kind == _COMPRESSED:
            inflated = _inflate(body, room)
            room -= len(inflated)
            kind, body = _Elements(memoryview(inflated), order).take()
        if kind == _MATRIX:
            yield _matrix(_Elements(body, order), key)


def _inflate(data: memoryview, most: int) -> bytes:
    inflater = zlib.decompressobj()
    # One byte more than allowed, since 0 would stand for no limit.
    inflated = inflater.decompress(data, most + 1)
    if len(inflated) > most:
        raise ValueError(f"it holds more than {_LARGEST:,} bytes")
    if not inflater.eof:
        raise ValueError("a compressed part is cut off")
    return inflated


@dataclass
class _Elements:
    """Data elements that are taken one after the other.

    Args:
        data: the bytes of all elements.
        order: byte order, ``<`` or ``>``.
        at: offset of the next element, in bytes.
    """

    data: memoryview
    order: str
    at: int = 0

    @property
    def left(self) -> bool:
        return self.at < len(self.data)

    def take(self) -> tuple[int, memoryview]:
        """Return the type and the data of the next element."""
        kind, size = struct.unpack_from(f"{self.order}II", self.data, self.at)
        start = self.at + 8
        if kind >> 16:  # a small element, whose data stands in the place of the size
            kind, size, start = kind & 0xFFFF, kind >> 16, self.at + 4
            if size > 4:
                raise ValueError(f"a small element has {size} bytes")
            self.at += 8
        else:
            # The next one starts at a multiple of eight bytes, except after a compressed one.
            self.at = start + size + (0 if kind == _COMPRESSED else -size % 8)
        body = self.data[start : start + size]
        if len(body) < size:
            raise ValueError("it is cut off")
        return kind, body

    def numbers(self) -> Array:
        """Return the content of the next element, which has to hold numbers."""
        kind, body = self.take()
        if kind not in _NUMBERS:
            raise ValueError(f"an element is of type {kind} where numbers are expected")
        dtype = np.dtype(self.order + _NUMBERS[kind])
        if len(body) % dtype.itemsize:
            raise ValueError(f"{len(body)} bytes are no numbers of {dtype.itemsize} bytes each")
        return np.frombuffer(body, dtype)


def _matrix(elements: _Elements, key: str) -> tuple[str, Array | str]:
    """Return the name of a matrix, and its numbers if its name is ``key``, else what it is."""
    if not elements.left:
        return "", "empty"
    kind, body = elements.take()
    if kind != _FLAGS or len(body) != 8:
        raise ValueError("a matrix does not start with its flags")
    (flags,) = struct.unpack_from(f"{elements.order}I", body)
    number = flags & 0xFF
    if number not in _CLASSES and number not in _OTHERS:
        raise ValueError(f"a matrix is of class {number}")
    if number == _OPAQUE:
        return "", _OTHERS[number]  # its name is stored elsewhere
    sizes = elements.numbers()
    kind, body = elements.take()
    if sizes.dtype.kind not in "iu" or kind not in _NAMES:
        raise ValueError("a matrix has no size or no name")
    name = bytes(body).decode("latin-1")
    if number in _OTHERS:
        return name, _OTHERS[number]
    if flags & _COMPLEX:
        return name, "complex"
    if name != key:
        return name, "another"
    stored = _shaped(elements.numbers(), sizes.tolist())
    with np.errstate(all="ignore"):
        numbers = stored.astype(_CLASSES[number])
    if numbers.dtype.kind != "f" and not np.array_equal(numbers, stored):
        raise ValueError(f"{name} has numbers that are not of its type, {numbers.dtype}")
    return name, numbers


# Version 4: for each matrix a head of five numbers, then its name and its numbers


def _of_version_4(data: bytes, key: str) -> Iterator[tuple[str, Array | str]]:
    at = 0
    while at < len(data):
        order = "<" if int.from_bytes(data[at : at + 4], "little") < 1000 else ">"
        what, rows, columns, imaginary, length = struct.unpack_from(f"{order}5i", data, at)
        # The digits are the byte order, 0, the type, and whether it is full, text or sparse.
        kind, content = divmod(what % 1000, 10)
        if what // 1000 != (order == ">") or kind >= len(_OF_VERSION_4) or content > 2:
            raise ValueError("its head is not that of one")
        if min(rows, columns, length) < 0 or imaginary not in (0, 1):
            raise ValueError(f"a matrix is {rows} × {columns}, its name {length} bytes")
        dtype = np.dtype(order + _OF_VERSION_4[kind])
        start = at + 20 + length
        at = start + rows * columns * dtype.itemsize * (1 + imaginary)
        if at > len(data):
            raise ValueError("it is cut off")
        name = data[start - length : start].rstrip(b"\0").decode("latin-1")
        if content:
            yield name, _OTHERS[4 if content == 1 else 5]
        elif imaginary:
            yield name, "complex"
        else:
            numbers = np.frombuffer(data, dtype, rows * columns, start)
            yield name, _shaped(numbers, [rows, columns]).astype(dtype.newbyteorder("="))
