"""Files that are there whole or not at all, and have one writer."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Write a file beside its place and rename it into place when it is whole.

    At every moment ``path`` is the old file, if there was one, or the whole new one. If the block
    raises, the part is removed.

    Args:
        path: where the file shall be; missing folders are made.

    Yields:
        Path: where to write it.

    Raises:
        OSError: if the folder cannot be written or the disk is full.

    Examples::
        >>> with replacing("results.json") as partial:
        ...     _ = partial.write_text("{}")
        >>> Path("results.json").read_text()
        '{}'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        # On the disk before it takes the old one's name, so that a power cut loses neither.
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def sole_writer(path: str | Path) -> Iterator[None]:
    """Keep other processes from writing a file, and clear away what a killed writer left.

    Args:
        path: the file; missing folders are made.

    Raises:
        BlockingIOError: if another process is its writer.
        OSError: if the folder cannot be written.

    Examples::
        >>> with sole_writer("features.h5"), sole_writer("features.h5"):
        ...     pass
        Traceback (most recent call last):
        BlockingIOError: features.h5 is being written by another process
    """
    from filelock import FileLock, Timeout

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    # The lock takes some errors of the folder for another's lock: try the folder first.
    with tempfile.TemporaryFile(dir=path.parent):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise BlockingIOError(f"{path} is being written by another process") from None
    try:
        for other in path.parent.iterdir():
            if _PARTIAL.fullmatch(other.name.removeprefix(f".{path.name}")):
                other.unlink()
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


_PARTIAL = re.compile(r"\.\d+\.partial")
"""What :func:`replacing` puts behind a file's name, with a dot before it."""
