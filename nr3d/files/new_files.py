"""New files of a dataset, which replace an existing file only on request."""

from __future__ import annotations

from pathlib import Path

from nr3d.errors import DataError
from nr3d.files.atomic import sole_writer, write_text


def refuse_over(path: Path, *, replace: bool) -> None:
    """Refuse to replace a file that exists.

    Args:
        path: file that is to be written.
        replace: whether an existing file may be replaced.

    Raises:
        DataError: if the file exists and ``replace`` is False.
    """
    if path.exists() and not replace:
        raise DataError(
            f"{path} is there: keep it, or write over it by --replace (replace=True in Python)."
        )


def write_new(path: Path, text: str, *, replace: bool) -> None:
    """Write a text file, atomically and as its only writer.

    Args:
        path: file that is to be written.
        text: content of the file, which is encoded as UTF-8.
        replace: whether an existing file may be replaced.

    Raises:
        DataError: if the file exists and ``replace`` is False.
        Locked: if another process is writing the file.
        OutputError: if the file cannot be written.
    """
    with sole_writer(path):
        refuse_over(path, replace=replace)  # another process may have written it in the meantime
        write_text(path, text)
