"""One member of a remote zip archive, by byte ranges: nothing else of the archive is read."""

from __future__ import annotations

import difflib
import struct
import zipfile
import zlib
from pathlib import Path

from nr3d.weights.http import PATIENCE, Patience, SourceError, download, read_range, session

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_BLOCK = 1 << 20


def download_member(
    url: str, member: str, part: Path, *, label: str = "", patience: Patience = PATIENCE
) -> Path:
    """Download a member of a remote zip archive and unpack it.

    The packed bytes go to ``part``, which a later call goes on with; the unpacked file is checked
    by the size and CRC-32 that the archive states.

    Args:
        url: the archive's address, at a server that serves byte ranges.
        member: path in the archive, or its end from a folder's name on.
        part: where to.
        label: for the progress bar.
        patience: how long to try.

    Returns:
        Path: the unpacked file, beside ``part``.

    Raises:
        SourceError: if the server or the archive does not give it.
        WeightsError: if the disk is full.
    """
    if read_range(url, 0, 2, patience) != b"PK":
        raise SourceError("the file there is no zip archive")
    info = _find(url, member, patience)
    if info.flag_bits & 0x1:
        raise SourceError(f"{info.filename} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise SourceError(f"{info.filename} is packed by method {info.compress_type}, not deflate")
    header = read_range(url, info.header_offset, _LOCAL_HEADER.size, patience)
    magic, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    if magic != b"PK\x03\x04":
        raise SourceError("the archive's directory does not fit its content")
    start = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
    if info.compress_size:
        span = (start, info.compress_size)
        download(url, part, label=label, span=span, patience=patience)
    unpacked = part.with_name(f"{part.name}.unpacked")
    try:
        _unpack(part, unpacked, info)
    except (zlib.error, SourceError) as error:
        part.unlink(missing_ok=True)
        unpacked.unlink(missing_ok=True)
        raise SourceError(f"{info.filename} is damaged ({error})") from error
    part.unlink()
    return unpacked


def _find(url: str, member: str, patience: Patience) -> zipfile.ZipInfo:
    """Give the member's entry in the archive's directory."""
    from remotezip import RemoteZip, RemoteZipError
    from requests import RequestException

    try:
        with (
            session() as opened,
            RemoteZip(url, session=opened, timeout=(patience.connect, patience.read)) as archive,
        ):
            infos: list[zipfile.ZipInfo] = archive.infolist()
    except (RemoteZipError, RequestException, zipfile.BadZipFile, OSError) as error:
        raise SourceError(f"the archive's directory cannot be read ({error})") from error
    members = [info for info in infos if not info.is_dir()]
    named = [i for i in members if i.filename == member] or [
        i for i in members if i.filename.endswith(f"/{member}")
    ]
    if len(named) == 1:
        return named[0]
    if named:
        paths = ", ".join(info.filename for info in named)
        raise SourceError(f"the archive has {len(named)} members {member}: {paths}")
    close = difflib.get_close_matches(member, [info.filename for info in members], n=3, cutoff=0.3)
    raise SourceError(
        f"the archive has no {member} among its {len(members)} members"
        + (f"; the closest are {', '.join(close)}" if close else "")
    )


def _unpack(packed: Path, unpacked: Path, info: zipfile.ZipInfo) -> None:
    """Unpack a member's bytes and check them by what the archive's directory states."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    crc = size = 0
    with packed.open("rb") as source, unpacked.open("wb") as target:
        while block := source.read(_BLOCK):
            data = inflate.decompress(block) if info.compress_type else block
            crc, size = zlib.crc32(data, crc), size + len(data)
            if size > info.file_size:
                break
            target.write(data)
        if info.compress_type:
            data = inflate.flush()
            crc, size = zlib.crc32(data, crc), size + len(data)
            target.write(data)
    if size != info.file_size:
        raise SourceError(f"{size:,} bytes, {info.file_size:,} expected")
    if crc != info.CRC:
        raise SourceError(f"its CRC-32 is {crc:08x}, the archive states {info.CRC:08x}")
