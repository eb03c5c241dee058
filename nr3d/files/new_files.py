"""Writes files that are made for a dataset, over one that is there only if that is asked for."""

from __future__ import annotations

from pathlib import Path

from nr3d.errors import DataError
from nr3d.files.atomic import replacing, sole_writer


def refuse_over(path: Path, *, replace: bool) -> None:
    """Refuse to write over a file.

    Raises:
        DataError: if it is there and ``replace`` is False.
    """
    if path.exists() and not replace:
        raise DataError(
            f"{path} is there: keep it, or write over it by --replace (replace=True in Python)."
        )


def write_new(path: Path, text: str, *, replace: bool) -> None:
    """Write a file of text, as its only writer.

    Args:
        path: the file.
        text: in UTF-8.
        replace: write over a file that is there.

    Raises:
        DataError: if it is there and ``replace`` is False.
        Locked: if another process writes it.
        OutputError: if it cannot be written.
    """
    with sole_writer(path):
        refuse_over(path, replace=replace)  # another process may have written it meanwhile
        with replacing(path) as partial:
            partial.write_text(text, encoding="utf-8")
