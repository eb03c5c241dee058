"""Safetensors files: headers are checked, and the bytes of files of ours by a checksum.

Only files that this package wrote hold a checksum.
"""

from __future__ import annotations

import json
import math
import re
import sys
import zlib
from collections.abc import Mapping
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nr3d.errors import WeightsError, parsing, shown
from nr3d.files.json_files import unique_keys

CHECKSUM_KEY = "nr3d.crc32"
"""Metadata key of the CRC-32 of a file of ours, computed over all of its bytes.

Its own eight digits count as zeros.
"""

_LARGEST_HEADER = 8 << 20
_BLOCK = 1 << 20
_NO_DIGITS = b"0" * 8
_AGAIN = "it may be damaged or cut short; fetch or save it again."

_DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "U16": torch.uint16,
    "I16": torch.int16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "U32": torch.uint32,
    "I32": torch.int32,
    "F32": torch.float32,
    "U64": torch.uint64,
    "I64": torch.int64,
    "F64": torch.float64,
    "C64": torch.complex64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
"""The format's types of values that every supported version of torch has."""


def is_safetensors(path: Path) -> bool:
    """Return whether a file's content, not its name, begins as safetensors: a length, then JSON."""
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and head[:2] != b"PK"


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file into memory.

    Args:
        path: path of the file.

    Raises:
        WeightsError: if the file is damaged: its header contradicts itself or the file, or its
            bytes do not have the checksum in it. Files that other programs wrote have no checksum.
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        text, header = _header(file, path)
        size = max((about["data_offsets"][1] for about in _tensors(header).values()), default=0)
        # The bytes themselves, not a view of the file, which another process may write over.
        numbers = torch.empty(size, dtype=torch.uint8)
        crc = _checksum_of_header(text, header, path)
        place = memoryview(numbers.numpy().data)
        for first in range(0, size, _BLOCK):
            block = place[first : first + _BLOCK]
            if file.readinto(block) != len(block):
                raise _refusal(path, "it ends in the middle of its tensors")
            crc = zlib.crc32(block, crc)
    written = (header.get("__metadata__") or {}).get(CHECKSUM_KEY)
    if written is not None and f"{crc:08x}" != written:
        raise _refusal(path, f"its bytes have the CRC-32 {crc:08x}, {written} was written")
    return {name: _view(numbers, about) for name, about in _tensors(header).items()}


def _tensors(header: Mapping[str, Any]) -> dict[str, Any]:
    return {name: about for name, about in header.items() if name != "__metadata__"}


def _view(numbers: Tensor, about: Mapping[str, Any]) -> Tensor:
    """Return one tensor as a view of the bytes of all."""
    first, last = about["data_offsets"]
    dtype = _DTYPES[about["dtype"]]
    part = numbers[first:last]
    if first % dtype.itemsize or sys.byteorder == "big":
        part = part.clone()
    if sys.byteorder == "big":
        part.untyped_storage().byteswap(dtype)  # type: ignore[no-untyped-call]
    return part.view(dtype).view(about["shape"])


def safetensors_metadata(path: Path) -> dict[str, str]:
    """Return the metadata in the header of a file.

    Args:
        path: path of the file.

    Raises:
        WeightsError: if the header contradicts itself or the file.
    """
    with path.open("rb") as file:
        _, header = _header(file, path)
    return header.get("__metadata__") or {}


def write_safetensors(state: Mapping[str, Tensor], metadata: Mapping[str, str], path: Path) -> None:
    """Write a file with a checksum of all its bytes in its header.

    Args:
        state: contiguous tensors by name.
        metadata: names and texts for the header.
        path: path to write to.

    Raises:
        OSError, SafetensorError: if the file cannot be written.
    """
    from safetensors.torch import save_file

    save_file(dict(state), path, metadata={**metadata, CHECKSUM_KEY: _NO_DIGITS.decode("ascii")})
    with path.open("rb+") as file:
        text, _ = _header(file, path)
        (place,) = _places(text)
        file.seek(0)
        crc = 0
        while block := file.read(_BLOCK):
            crc = zlib.crc32(block, crc)
        file.seek(8 + place)
        file.write(f"{crc:08x}".encode("ascii"))


def _refusal(path: Path, reason: str) -> WeightsError:
    return WeightsError(f"{path} is not a readable safetensors file ({reason}): {_AGAIN}")


def _header(file: BufferedReader | BufferedRandom, path: Path) -> tuple[bytes, dict[str, Any]]:
    """Return a file's header: its bytes, and what they say of tensors and ``__metadata__``.

    Raises:
        WeightsError: if it contradicts itself or the file.
    """
    size = path.stat().st_size
    length = int.from_bytes(file.read(8), "little")
    if length > min(size - 8, _LARGEST_HEADER):
        raise _refusal(
            path,
            f"a header of {length:,} bytes in a file of {size:,}, expected at most "
            f"{_LARGEST_HEADER:,}",
        )
    text = file.read(length)
    with parsing(path, "a safetensors file", _AGAIN.capitalize(), WeightsError):
        header = json.loads(text.decode("utf-8"), object_pairs_hook=unique_keys)
    if not isinstance(header, dict):
        raise _refusal(path, "its header names no tensors")
    metadata = header.get("__metadata__")
    if metadata is not None and not (
        isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
    ):
        raise _refusal(path, "its metadata are not texts by names")
    end = 0
    for first, last in sorted(_span(path, name, of) for name, of in _tensors(header).items()):
        if first != end:
            raise _refusal(path, f"a tensor begins at byte {first:,}, expected at {end:,}")
        end = last
    if end != size - 8 - length:
        raise _refusal(
            path, f"its tensors have {end:,} bytes, {size - 8 - length:,} are in the file"
        )
    return text, header


def _span(path: Path, name: str, about: object) -> tuple[int, int]:
    """Return where a tensor's bytes begin and end, after checking that it needs as many."""
    fields = about if isinstance(about, dict) else {}
    dtype, shape, place = (fields.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise _refusal(path, f"{shown(name)} is of the type {shown(dtype)}, which is unknown")
    if not isinstance(shape, list) or len(shape) > 64 or not all(map(_is_size, shape)):
        raise _refusal(path, f"{shown(name)} has the shape {shown(shape)}")
    if not isinstance(place, list) or len(place) != 2 or not all(map(_is_size, place)):
        raise _refusal(path, f"{shown(name)} lies at {shown(place)}")
    if math.prod(shape) * _DTYPES[dtype].itemsize != place[1] - place[0]:
        raise _refusal(
            path,
            f"{shown(name)} is {shown(shape)} of {dtype} in {shown(place[1] - place[0])} bytes",
        )
    return place[0], place[1]


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


# The checksum


def _places(text: bytes) -> list[int]:
    """Return the positions in a header at which digits of a checksum begin."""
    named = rb'"%s"\s*:\s*"' % re.escape(CHECKSUM_KEY).encode("ascii")
    return [found.end() for found in re.finditer(named, text)]


def _checksum_of_header(text: bytes, header: Mapping[str, Any], path: Path) -> int:
    """Return the CRC-32 of a file up to its tensors, with the digits as zeros."""
    written = (header.get("__metadata__") or {}).get(CHECKSUM_KEY)
    if written is not None:
        places = _places(text)
        digits = [text[place : place + 8] for place in places]
        if [str(written).encode("utf-8")] != digits:
            raise _refusal(path, f"its checksum is {shown(written)}, expected 8 digits")
        text = text[: places[0]] + _NO_DIGITS + text[places[0] + 8 :]
    return zlib.crc32(len(text).to_bytes(8, "little") + text)
