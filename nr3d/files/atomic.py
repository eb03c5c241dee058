"""Files that are there whole or not at all, and have one writer."""

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
    """Write a file beside its place and rename it into place when it is whole.

    At every moment ``path`` is the old file, if there was one, or the whole new one. If the block
    raises, the part is removed.

    Args:
        path: where the file shall be; missing folders are made.

    Yields:
        Path: where to write it.

    Raises:
        OutputError: if the folder cannot be written or the disk is full.

    Examples::
        >>> with replacing("results.json") as partial:
        ...     _ = partial.write_text("{}")
        >>> Path("results.json").read_text()
        '{}'
    """
    path = Path(path)
    # The process number for a person who finds one; it alone is not unique between machines.
    partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.partial")
    _parts.add(partial.absolute())
    try:
        with writing(path, partial):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            # On the disk before it takes the old one's name, so that a power cut loses neither.
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            partial.replace(path)
    finally:
        with contextlib.suppress(OSError):  # what raised in the block is told
            partial.unlink(missing_ok=True)
        _parts.discard(partial.absolute())


_parts: set[Path] = set()
"""What this process is writing."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_parts.clear)


@atexit.register
def _remove_all() -> None:
    """Remove what an interrupt within a block's end left."""
    for partial in _parts:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def sole_writer(path: str | Path, *others: str | Path) -> Iterator[None]:
    """Keep other processes from writing a file, and clear away what a killed writer left.

    Args:
        path: the file, or what stands for the files of a folder; missing folders are made.
        others: files that only the writer of ``path`` writes: what a killed one left of them is
            cleared away too.

    Raises:
        Locked: if another process is its writer; a BlockingIOError that says which.
        OutputError: if the folder cannot be written.

    Examples::
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
    """Remove the parts of a file that killed writers left; nobody may be writing it.

    Raises:
        OutputError: if the folder cannot be written.
    """
    with writing(path):
        if path.parent.is_dir():
            for other in path.parent.iterdir():
                if _PARTIAL.fullmatch(other.name.removeprefix(f".{path.name}")):
                    other.unlink(missing_ok=True)


_PARTIAL = re.compile(r"\.\d+(\.[0-9a-f]{8})?\.partial")
"""What :func:`replacing` puts behind a file's name, with a dot before it."""
