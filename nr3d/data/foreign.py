"""Dataset readers of torchreid and of users: their printed lines and their errors."""

from __future__ import annotations

import contextlib
import glob
import io
import logging
from collections.abc import Iterator
from pathlib import Path

from nr3d.errors import DataError, reason_of

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what torchreid prints in a block to the log."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        for line in filter(None, (line.rstrip() for line in printed.getvalue().splitlines())):
            logger.debug("torchreid: %s", line)


def not_loaded(name: str, root: Path, error: Exception) -> DataError:
    """Return the error for a dataset whose reader failed.

    Args:
        name: torchreid's name of the dataset.
        root: folder that holds the datasets' folders.
        error: exception that the reader raised, of any kind.
    """
    reason = reason_of(error)
    if not str(error):
        reason = f"{reason} while reading its files"
    remedy = "Put its files there in torchreid's layout, or give another root."
    if glob.escape(str(root)) != str(root):
        remedy += " The root's name has one of *, ? and [, which torchreid takes for a pattern."
    return DataError(f"Dataset {name!r} cannot be loaded from {root}: {reason}. {remedy}")
