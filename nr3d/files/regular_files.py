"""Reads files of a dataset, and nothing that only looks like one.

A pipe called ``0001.jpg`` keeps its reader waiting for ever, and a device may act as it is opened.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


class NotRegularError(OSError):
    """Something other than a file; the message goes on after its name: "is a pipe, not a file"."""


def look(path: str | Path) -> os.stat_result:
    """Look at a file, through links.

    Raises:
        NotRegularError: if it is a folder, a pipe, a socket or a device.
        OSError: if it is missing or cannot be looked at.

    Examples::
        >>> look(".")
        Traceback (most recent call last):
        nr3d.files.regular_files.NotRegularError: is a folder, not a file
    """
    return _regular(os.stat(path))  # noqa: PTH116 (a million calls)


def read_regular(path: str | Path, most: int) -> bytes:
    """Read a file whole.

    Args:
        path: the file.
        most: bytes to read at most. One more tells that the file has more.

    Raises:
        NotRegularError: as for :func:`look`.
        OSError: if it is missing or cannot be read.
    """
    look(path)
    with open(path, "rb", opener=_open) as file:
        # It may have been another thing's name a moment ago.
        _regular(os.fstat(file.fileno()))
        return file.read(most + 1)


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
