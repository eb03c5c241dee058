"""Safetensors files: their header checked, and the bytes of our own by a checksum in it."""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

from torch import Tensor

from nr3d.errors import WeightsError, parsing, shown

CHECKSUM_KEY = "nr3d.crc32"
"""Where a file of ours holds the CRC-32 of all its bytes, its own eight digits as zeros."""

_LARGEST_HEADER = 8 << 20
_BLOCK = 1 << 20
_NO_DIGITS = b"0" * 8
_AGAIN = "it may be damaged or cut short; fetch or save it again."

_BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6} | {
    name: 8 * size
    for size, names in {
        1: ("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"),
        2: ("U16", "I16", "F16", "BF16"),
        4: ("U32", "I32", "F32"),
        8: ("U64", "I64", "F64", "C64"),
    }.items()
    for name in names
}
"""Bits of one value of each type."""


def is_safetensors(path: Path) -> bool:
    """Tell by a file's content, not its name: eight bytes of length, then a JSON header."""
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and head[:2] != b"PK"


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file.

    Raises:
        WeightsError: if it is damaged: its header contradicts itself or the file, or its bytes are
            not those of the checksum in it. The files of others have none.
    """
    from safetensors.torch import load_file

    read_header(path)
    _check_sum(path)
    with parsing(path, "a safetensors file", _AGAIN.capitalize(), WeightsError):
        return load_file(path)


def safetensors_metadata(path: Path) -> dict[str, str]:
    """Give the texts in the header of a file.

    Raises:
        WeightsError: if the header contradicts itself or the file.
    """
    return read_header(path).get("__metadata__") or {}


def write_safetensors(state: Mapping[str, Tensor], metadata: Mapping[str, str], path: Path) -> None:
    """Write a file with a checksum of all its bytes in its header.

    Args:
        state: contiguous tensors by name.
        metadata: texts for the header.
        path: where to.

    Raises:
        OSError, SafetensorError: if it cannot be written.
    """
    from safetensors.torch import save_file

    save_file(dict(state), path, metadata={**metadata, CHECKSUM_KEY: _NO_DIGITS.decode("ascii")})
    with path.open("rb+") as file:
        place, _ = _digits(file)
        file.seek(0)
        crc = 0
        while block := file.read(_BLOCK):
            crc = zlib.crc32(block, crc)
        file.seek(place)
        file.write(f"{crc:08x}".encode("ascii"))


def _refusal(path: Path, reason: str) -> WeightsError:
    return WeightsError(f"{path} is not a readable safetensors file ({reason}): {_AGAIN}")


def read_header(path: Path) -> dict[str, Any]:
    """Read a file's header: the tensors by name, and ``__metadata__``.

    Raises:
        WeightsError: if it contradicts itself or the file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(size - 8, _LARGEST_HEADER):
            raise _refusal(
                path,
                f"a header of {length:,} bytes in a file of {size:,}, expected at most "
                f"{_LARGEST_HEADER:,}",
            )
        text = file.read(length)
    with parsing(path, "a safetensors file", _AGAIN.capitalize(), WeightsError):
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_once)
    if not isinstance(header, dict):
        raise _refusal(path, "its header names no tensors")
    metadata = header.get("__metadata__")
    if metadata is not None and not (
        isinstance(metadata, dict) and all(isinstance(text, str) for text in metadata.values())
    ):
        raise _refusal(path, "its metadata are not names with texts")
    spans = sorted(
        _span(path, name, about) for name, about in header.items() if name != "__metadata__"
    )
    end = 0
    for first, last in spans:
        if first != end:
            raise _refusal(path, f"a tensor begins at byte {first:,}, expected at {end:,}")
        end = last
    if end != size - 8 - length:
        raise _refusal(
            path, f"its tensors have {end:,} bytes, {size - 8 - length:,} are in the file"
        )
    return header


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice in its header")
    return found


def _span(path: Path, name: str, about: object) -> tuple[int, int]:
    """Give where a tensor's bytes begin and end, if they are as many as it needs."""
    fields = about if isinstance(about, dict) else {}
    dtype, shape, place = (fields.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise _refusal(path, f"{shown(name)} is of the type {shown(dtype)}, which is not known")
    if not isinstance(shape, list) or len(shape) > 64 or not all(map(_is_size, shape)):
        raise _refusal(path, f"{shown(name)} has the shape {shown(shape)}")
    if not isinstance(place, list) or len(place) != 2 or not all(map(_is_size, place)):
        raise _refusal(path, f"{shown(name)} lies at {shown(place)}")
    bits = math.prod(shape) * _BITS[dtype]
    if bits != 8 * (place[1] - place[0]):
        raise _refusal(
            path,
            f"{shown(name)} is {shown(shape)} of {dtype} in {shown(place[1] - place[0])} bytes",
        )
    return place[0], place[1]


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


# The checksum


def _digits(file: BufferedReader | Any) -> tuple[int, bytes]:
    """Give where the checksum's digits are in a file, and the digits; none without a checksum."""
    file.seek(0)
    header = file.read(8 + int.from_bytes(file.read(8), "little"))
    found = re.findall(rb'"%s"\s*:\s*"' % re.escape(CHECKSUM_KEY).encode("ascii"), header)
    if len(found) != 1:
        return 0, b""
    start = header.index(found[0]) + len(found[0])
    return 8 + start, header[start : start + 8]


def _check_sum(path: Path) -> None:
    written = safetensors_metadata(path).get(CHECKSUM_KEY)
    if written is None:
        return
    with path.open("rb") as file:
        place, digits = _digits(file)
        if digits.decode("latin1") != written:
            raise _refusal(path, f"its checksum is {shown(written)}, expected 8 digits")
        file.seek(0)
        head = file.read(place + 8)
        crc = zlib.crc32(head[:-8] + _NO_DIGITS)
        while block := file.read(_BLOCK):
            crc = zlib.crc32(block, crc)
    if f"{crc:08x}" != written:
        raise _refusal(path, f"its bytes have the CRC-32 {crc:08x}, {written} was written")
