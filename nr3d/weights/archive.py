"""Single members of remote zip archives, read by byte ranges without the rest of the archive."""

from __future__ import annotations

import difflib
import io
import struct
import time
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

from nr3d.errors import printable, reason_of
from nr3d.weights.http import PATIENCE, Patience, SourceError, download, read_range, read_span
from nr3d.weights.parts import MOST_BYTES, check_room, forget, storing

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_BLOCK = 1 << 20
_TAIL = 1 << 16
"""Bytes at an archive's end that are read at once; most directories lie within them."""
_DIRECTORY = 4 << 20
"""Largest directory in bytes, that of some ten thousand members."""
_EXPANSION = 1040
"""Most bytes that one byte of deflate can unpack to."""
_CLOSEST_OF = 1000
"""Most members whose names are searched for close ones."""


def download_member(
    url: str,
    member: str,
    part: Path,
    *,
    label: str = "",
    size: int | None = None,
    patience: Patience = PATIENCE,
) -> Path:
    """Download a member of a remote zip archive and unpack it.

    The packed bytes are written to ``part``, from which a later call resumes. The unpacked file is
    checked by the size and CRC-32 that the archive states.

    Args:
        url: address of the archive, on a server that serves byte ranges.
        member: path of the member in the archive, or the end of that path from a folder's name on.
        part: path to write to.
        label: text beside the progress bar.
        size: size of the unpacked file in bytes, if known.
        patience: limits on attempts, time and rate; the total time is that of all requests.

    Returns:
        Path: path of the unpacked file, beside ``part``.

    Raises:
        SourceError: if the server or the archive does not provide the member.
        WeightsError: if the disk is full or the folder cannot be written.
    """
    archive = _Archive(url, patience)
    info = _find(archive, member)
    name = printable(info.filename)
    _check_stated(info, size, archive.size)
    header = archive.read_at(info.header_offset, _LOCAL_HEADER.size)
    magic, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    start = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
    if magic != b"PK\x03\x04" or start + info.compress_size > archive.size:
        raise SourceError("the archive's directory does not fit its content")
    unpacked = part.with_name(f"{part.name}.unpacked")
    with storing(part):
        part.parent.mkdir(parents=True, exist_ok=True)
        check_room(part, info.compress_size + info.file_size)
        if not info.compress_size:
            part.write_bytes(b"")
    if info.compress_size:
        span = (start, info.compress_size)
        download(url, part, label=label, span=span, patience=archive.patience())
    try:
        with storing(unpacked):
            _unpack(part, unpacked, info)
    except BaseException as error:
        unpacked.unlink(missing_ok=True)
        if not isinstance(error, zlib.error | SourceError):
            raise
        forget(part)
        raise SourceError(f"{name} is damaged ({reason_of(error)})") from error
    part.unlink()
    return unpacked


class _Archive(io.RawIOBase):
    """Remote file that can be read from any position, a bounded number of bytes at once.

    Args:
        url: address of the file.
        patience: limits on attempts, time and rate; the total time is that of all requests.
    """

    def __init__(self, url: str, patience: Patience) -> None:
        self._url, self._patience = url, patience
        self._ends = time.monotonic() + patience.total
        head, size = read_span(url, 0, 2, patience)
        if head != b"PK":
            raise SourceError("the file there is no zip archive")
        if size is None:
            raise SourceError("the server does not state the archive's size")
        self.size, self._place = size, 0
        self._tail_start = max(0, size - _TAIL)
        self._tail = b""

    def patience(self) -> Patience:
        """Return the patience with the time that is left."""
        return replace(self._patience, total=max(0.0, self._ends - time.monotonic()))

    def read_at(self, start: int, length: int) -> bytes:
        """Return bytes of the file.

        Args:
            start: position of the first byte.
            length: number of bytes.

        Raises:
            SourceError: if the file has no such bytes, or they are too many.
        """
        if start < 0 or length < 0 or start + length > self.size:
            raise SourceError("the archive's directory does not fit its content")
        if length > _DIRECTORY:
            raise SourceError(
                f"the archive's directory has {length:,} bytes, more than {_DIRECTORY:,}"
            )
        if start < self._tail_start:
            return read_range(self._url, start, length, self.patience()) if length else b""
        if not self._tail:
            tail = self.size - self._tail_start
            self._tail = read_range(self._url, self._tail_start, tail, self.patience())
        return self._tail[start - self._tail_start :][:length]

    # Methods by which zipfile reads a directory

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = (0, self._place, self.size)[whence]
        if origin + offset < 0:
            raise OSError("no such place")
        self._place = origin + offset
        return self._place

    def read(self, size: int = -1) -> bytes:
        left = max(0, self.size - self._place)
        content = self.read_at(self._place, left if size < 0 else min(size, left))
        self._place += len(content)
        return content


def _find(archive: _Archive, member: str) -> zipfile.ZipInfo:
    """Return a member's entry in the archive's directory."""
    try:
        with zipfile.ZipFile(archive) as directory:
            infos = directory.infolist()
    except Exception as error:
        reason = reason_of(error)
        raise SourceError(f"the archive's directory cannot be read ({reason})") from error
    members = [info for info in infos if not info.is_dir()]
    named = [i for i in members if i.filename == member] or [
        i for i in members if i.filename.endswith(f"/{member}")
    ]
    if len(named) == 1:
        return named[0]
    if named:
        raise SourceError(
            f"the archive has {len(named)} members {printable(member)}: {_listed(named)}"
        )
    names = {i.filename: i for i in members[:_CLOSEST_OF] if len(i.filename) < 300}
    close = difflib.get_close_matches(member, names, n=3, cutoff=0.3)
    raise SourceError(
        f"the archive has no {printable(member)} among its {len(members)} members"
        + (f"; the closest are {_listed([names[name] for name in close])}" if close else "")
    )


def _listed(infos: list[zipfile.ZipInfo]) -> str:
    more = ", …" if len(infos) > 3 else ""
    return ", ".join(printable(info.filename, 100) for info in infos[:3]) + more


def _check_stated(info: zipfile.ZipInfo, size: int | None, archive_size: int) -> None:
    """Check what the directory states of a member before its bytes are requested."""
    name, packed = printable(info.filename), info.compress_size
    if info.flag_bits & 0x1:
        raise SourceError(f"{name} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise SourceError(f"{name} is packed by method {info.compress_type}, not deflate")
    if size is not None and info.file_size != size:
        raise SourceError(f"{name} has {info.file_size:,} bytes, {size:,} expected")
    if info.file_size > MOST_BYTES:
        raise SourceError(
            f"{name} has {info.file_size:,} bytes, more than the {MOST_BYTES:,} of any weights"
        )
    if info.compress_type == zipfile.ZIP_STORED:
        fits = packed == info.file_size
    else:
        # Deflate makes a few thousandths more of what it cannot pack.
        fits = packed <= info.file_size * 5 // 4 + 1024 and info.file_size <= packed * _EXPANSION
    if not fits or packed > archive_size:
        raise SourceError(
            f"{name} cannot have {info.file_size:,} bytes and {packed:,} of them packed"
        )


def _unpack(packed: Path, unpacked: Path, info: zipfile.ZipInfo) -> None:
    """Unpack a member's bytes and check them against the archive's directory."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS) if info.compress_type else None
    crc = size = 0
    with packed.open("rb") as source, unpacked.open("wb") as target:
        while size <= info.file_size:
            if inflate is None:
                data = source.read(_BLOCK)
            else:
                block = inflate.unconsumed_tail or source.read(_BLOCK)
                data = inflate.decompress(block, min(_BLOCK, info.file_size - size + 1))
                if not data and block and not inflate.eof:
                    continue
            if not data:
                break
            crc, size = zlib.crc32(data, crc), size + len(data)
            target.write(data[: max(0, info.file_size - size + len(data))])
    if size != info.file_size:
        more = "or more " if size > info.file_size else ""
        raise SourceError(f"{size:,} bytes {more}unpacked, {info.file_size:,} expected")
    if crc != info.CRC:
        raise SourceError(f"its CRC-32 is {crc:08x}, the archive states {info.CRC:08x}")
