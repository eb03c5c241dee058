"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
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
