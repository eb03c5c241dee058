"""Atomic writing: files appear whole or not at all, and have one writer at a time."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from nr3d.errors import writing
from nr3d.files.locks import locked


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Write a file under a temporary name and rename it when it is whole.

    At every moment ``path`` is either the old file, if there was one, or the whole new one. If the
    block raises, the temporary file is removed.

    Args:
        path: final place of the file; missing folders are created.

    Yields:
        Path: temporary file in the same folder, which the block writes.

    Raises:
        OutputError: if the folder cannot be written or the disk is full.

    Examples:
        >>> with replacing("results.json") as partial:
        ...     _ = partial.write_text("{}")
        >>> Path("results.json").read_text()
        '{}'
    """
    path = Path(path)
    # The process number helps a person who finds the file; alone it is not unique across machines.
    partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.partial")
    _parts.add(partial.absolute())
    try:
        with writing(path, partial):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            # Flushed to the disk before it takes the old file's name: a power cut loses neither.
            flush_to_disk(partial)
            partial.replace(path)
    finally:
        with contextlib.suppress(OSError):  # the error of the block is the one to report
            partial.unlink(missing_ok=True)
        _parts.discard(partial.absolute())


def write_text(path: str | Path, text: str) -> None:
    """Write a text file completely or not at all.

    Raises:
        OutputError: if the file cannot be written; it is then unchanged.
    """
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def flush_to_disk(path: Path) -> None:
    """Wait until a file that has been written is on the disk, so that a power cut does not lose it.

    Args:
        path: the file, which is closed.

    Raises:
        OSError: if the file cannot be written.
    """
    with path.open("rb+") as file:
        os.fsync(file.fileno())


_parts: set[Path] = set()
"""Temporary files that this process is writing."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_parts.clear)


@atexit.register
def _remove_all() -> None:
    """Remove what is left when an interrupt arrives while a block is ending."""
    for partial in _parts:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def sole_writer(path: str | Path, *others: str | Path) -> Iterator[None]:
    """Keep other processes from writing a file, and remove what a killed writer left behind.

    Args:
        path: file to be written, or a name that stands for all files of a folder; missing folders
            are created.
        others: further files that only the writer of ``path`` writes, whose leftovers are removed
            as well.

    Raises:
        Locked: if another process is writing the file; a BlockingIOError that names the process.
        OutputError: if the folder cannot be written.

    Examples:
        >>> with sole_writer("features.h5"), sole_writer("features.h5"):  # doctest: +ELLIPSIS
        ...     pass
        Traceback (most recent call last):
        nr3d.files.locks.Locked: features.h5 is being written by process ... on ..., since ...
    """
    path = Path(path)
    with contextlib.ExitStack() as held:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(path.with_name(f".{path.name}.lock"), path))
        for each in (path, *map(Path, others)):
            clear_partial(each)
        yield


def clear_partial(path: Path) -> None:
    """Remove the temporary files that killed writers of a file left behind.

    Args:
        path: the file, which no process may be writing.

    Raises:
        OutputError: if the folder cannot be written.
    """
    with writing(path):
        if path.parent.is_dir():
            for other in path.parent.iterdir():
                if _PARTIAL.fullmatch(other.name.removeprefix(f".{path.name}")):
                    other.unlink(missing_ok=True)


_PARTIAL = re.compile(r"\.\d+(\.[0-9a-f]{8})?\.partial")
"""What :func:`replacing` appends to a file's name, which it also prefixes with a dot."""
