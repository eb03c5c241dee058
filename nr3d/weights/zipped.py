"""Zip archives that ``torch.save`` writes, with every member checked by its CRC-32."""

from __future__ import annotations

import logging
import struct
import zipfile
import zlib
from io import BufferedReader
from pathlib import Path

import torch

from nr3d.errors import shown
from nr3d.weights.kinds import what_a_zip_is
from nr3d.weights.pickled import ForeignError, UnreadableError

logger = logging.getLogger(__name__)

_BLOCK = 1 << 20
_LOCAL = struct.Struct("<4s5H3I2H")
_ENCRYPTED, _SIZES_BEHIND = 0x1, 0x8
_IN_ZIP64 = 0xFFFFFFFF


class Archive:
    """Members of an archive, stored one after the other.

    A member's bytes are returned only if they have the CRC-32 that the archive's directory states.
    An archive that was written without checksums
    (``torch.serialization.set_crc32_options(False)``), where every CRC-32 is 0, cannot be checked:
    it is read, and a warning is logged.

    Args:
        file: open file of the archive.
        path: path of the file, for the log.

    Raises:
        UnreadableError: if ``torch.save`` did not write the archive, or its parts contradict each
            other.
    """

    def __init__(self, file: BufferedReader, path: Path) -> None:
        self._file = file
        with zipfile.ZipFile(file) as opened:
            found, start = opened.infolist(), opened.start_dir
        other = what_a_zip_is([member.filename for member in found])
        if other is not None:
            raise ForeignError(other)
        self._places: dict[str, tuple[int, zipfile.ZipInfo]] = {}
        folders = {name.partition("/")[0] for name in (member.filename for member in found)}
        if len(folders) != 1:
            raise UnreadableError(f"its members lie in {len(folders)} folders, expected one")
        self.checked = any(member.CRC for member in found)
        end = 0
        for member in sorted(found, key=lambda member: member.header_offset):
            name = member.filename.partition("/")[2]
            begin = self._begin(member)
            if name in self._places:
                raise UnreadableError(f"it has two members {shown(name)}")
            if member.header_offset < end or begin + member.file_size > start:
                raise UnreadableError(f"its member {shown(name)} overlaps another")
            end = begin + member.file_size
            self._places[name] = begin, member
        if not self.checked:
            logger.warning("%s was saved without checksums: damage to it cannot be found", path)

    def _begin(self, member: zipfile.ZipInfo) -> int:
        """Return where a member's bytes begin, after comparing its header with the directory."""
        name = shown(member.filename)
        if member.flag_bits & _ENCRYPTED:
            raise UnreadableError(f"its member {name} is encrypted")
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise UnreadableError(f"its member {name} is compressed, which torch.save never does")
        self._file.seek(member.header_offset)
        head = self._file.read(_LOCAL.size)
        if len(head) < _LOCAL.size:
            raise UnreadableError(f"its member {name} is missing")
        start, _, flags, method, _, _, crc, packed, size, named, extra = _LOCAL.unpack(head)
        written = self._file.read(named)
        encoding = "utf-8" if member.flag_bits & 0x800 else "cp437"
        if (
            start != b"PK\3\4"
            or method != zipfile.ZIP_STORED
            or flags & _ENCRYPTED
            or written.decode(encoding) != member.orig_filename
        ):
            raise UnreadableError(f"its member {name} has another name or kind in its own header")
        if not flags & _SIZES_BEHIND and (
            crc != member.CRC
            or size not in (member.file_size, _IN_ZIP64)
            or packed not in (member.file_size, _IN_ZIP64)
        ):
            raise UnreadableError(f"its member {name} has another size or CRC-32 in its own header")
        return member.header_offset + _LOCAL.size + int(named) + int(extra)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def size(self, name: str) -> int:
        """Return the size of a member in bytes.

        Args:
            name: name of the member without its folder.
        """
        return self._places[name][1].file_size

    def read(self, name: str, most: int) -> bytes:
        """Return the bytes of a small member.

        Args:
            name: name of the member without its folder.
            most: largest size in bytes.

        Raises:
            UnreadableError: if the member is missing, damaged or larger.
        """
        if name not in self._places:
            raise UnreadableError(f"it has no member {shown(name)}")
        if self.size(name) > most:
            raise UnreadableError(
                f"its member {name} has {self.size(name):,} bytes, above {most:,}"
            )
        data = torch.empty(self.size(name), dtype=torch.uint8)
        self.read_into(name, data)
        return data.numpy().tobytes()

    def read_into(self, name: str, to: torch.Tensor) -> None:
        """Read a member into a tensor.

        Args:
            name: name of the member without its folder.
            to: tensor of uint8 with as many values as the member has bytes.

        Raises:
            UnreadableError: if the member is damaged.
        """
        begin, member = self._places[name]
        self._file.seek(begin)
        place, crc = memoryview(to.numpy().data), 0
        for first in range(0, len(place), _BLOCK):
            block = place[first : first + _BLOCK]
            if self._file.readinto(block) != len(block):
                raise UnreadableError(f"its member {name} is cut short")
            crc = zlib.crc32(block, crc)
        self._compare(name, member, crc)

    def check(self, name: str) -> None:
        """Check a member without keeping its bytes.

        Args:
            name: name of the member without its folder.

        Raises:
            UnreadableError: if the member is damaged.
        """
        begin, member = self._places[name]
        self._file.seek(begin)
        left, crc = member.file_size, 0
        while left:
            block = self._file.read(min(left, _BLOCK))
            if not block:
                raise UnreadableError(f"its member {name} is cut short")
            crc, left = zlib.crc32(block, crc), left - len(block)
        self._compare(name, member, crc)

    def names(self) -> list[str]:
        """Return the members' names without their folder."""
        return list(self._places)

    def _compare(self, name: str, member: zipfile.ZipInfo, crc: int) -> None:
        if self.checked and crc != member.CRC:
            raise UnreadableError(
                f"its member {shown(name)} has the CRC-32 {crc:08x}, {member.CRC:08x} was written"
            )
