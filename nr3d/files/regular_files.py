"""Reading of regular files, within bounds.

Datasets come from anywhere. A pipe named ``0001.jpg`` would keep its reader waiting for ever, a
device may act when it is opened, and a file may be far larger than any file of its kind.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from nr3d.errors import DataError, reason_of

MEBIBYTE = 2**20


class NotRegularError(OSError):
    """A path names something other than a file; the message reads "is a pipe, not a file"."""


def look(path: str | Path) -> os.stat_result:
    """Return the status of a regular file; links are followed.

    Args:
        path: the file.

    Raises:
        NotRegularError: if the path names a folder, a pipe, a socket or a device.
        OSError: if the file is missing or cannot be accessed.

    Examples:
        >>> look(".")
        Traceback (most recent call last):
        nr3d.files.regular_files.NotRegularError: is a folder, not a file
    """
    return _regular(os.stat(path))  # noqa: PTH116 (a million calls)


def read_regular(path: str | Path, most: int) -> bytes:
    """Read a regular file.

    Args:
        path: the file.
        most: number of bytes to read; one more is returned if the file is longer.

    Raises:
        NotRegularError: if the path names a folder, a pipe, a socket or a device.
        OSError: if the file is missing or cannot be read.
    """
    look(path)
    with open(path, "rb", opener=_open) as file:
        # The name may have changed hands since.
        _regular(os.fstat(file.fileno()))
        return file.read(most + 1)


def read_whole(path: Path, most: int) -> bytes:
    """Read a regular file of a dataset and refuse one that is too large.

    Args:
        path: the file.
        most: greatest size of the file, in bytes.

    Raises:
        DataError: if the file is missing, not regular, too large or cannot be read. The message
            says only what is wrong, without advice or a full stop.
    """
    try:
        size = look(path).st_size
        data = read_regular(path, most) if size <= most else b""
    except FileNotFoundError:
        raise DataError(f"There is no {path}") from None
    except NotRegularError as error:
        raise DataError(f"{path} {error}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({reason_of(error)})") from error
    size = max(size, len(data))
    if size > most:
        raise DataError(f"{path} has {size:,} bytes, expected at most {most:,} of such a file")
    return data


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _regular(found: os.stat_result) -> os.stat_result:
    if stat.S_ISREG(found.st_mode):
        return found
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
    )
    kind = next((kind for is_kind, kind in kinds if is_kind(found.st_mode)), "a device")
    raise NotRegularError(f"is {kind}, not a file")
