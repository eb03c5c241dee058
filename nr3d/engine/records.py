"""The records of a run: a line of JSON per epoch and per test."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any

from nr3d.errors import writing
from nr3d.files.atomic import replacing
from nr3d.files.json_files import finite

logger = logging.getLogger(__name__)

FILE_NAME = "metrics.jsonl"

_LONGEST = 1 << 20
"""Length of the longest line that may be a record, in bytes."""


def append_record(save_dir: str | Path, record: dict[str, Any]) -> None:
    """Append one line to a run's ``metrics.jsonl``, which other processes may append to as well.

    Args:
        save_dir: the run's folder, made if it is missing.
        record: plain values by name; a number that is not finite becomes null.

    Raises:
        OutputError: if the disk is full or the folder cannot be written; the file is then
            unchanged.
    """
    path = Path(save_dir) / FILE_NAME
    line = json.dumps(finite(record)).encode() + b"\n"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path) as file:
            # A run that was killed while it wrote leaves half a line, which is ended here.
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(size - 1)
                line = line if file.read(1) == b"\n" else b"\n" + line
            try:
                while line:  # a nearly full disk takes only a part of it
                    line = line[file.write(line) :]
            except OSError:
                file.truncate(size)
                raise


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[FileIO]:
    """Open a file to append to while no other process appends to it or replaces it."""
    while True:
        with FileIO(path, "a+") as file:
            if sys.platform != "win32":
                import fcntl

                with contextlib.suppress(OSError):  # no locks here; appends are whole anyway
                    fcntl.flock(file, fcntl.LOCK_EX)
            try:
                current = os.path.samestat(os.fstat(file.fileno()), path.stat())
            except FileNotFoundError:
                current = False
            if current:
                yield file
                return


def read_records(save_dir: str | Path) -> list[dict[str, Any]]:
    """Read the records of a run's ``metrics.jsonl``.

    Lines that are no records are skipped, such as one cut short by a kill or filled with zeros by a
    power cut.

    Args:
        save_dir: the run's folder.

    Returns:
        list: records in the order of the file; empty if there is no file.
    """
    return [record for _, record in _lines(save_dir) if record is not None]


def drop_records_after(save_dir: str | Path, epoch: int, *, untested: bool = False) -> None:
    """Remove the lines of later epochs from a run's ``metrics.jsonl``.

    A run that is resumed from a checkpoint writes them again. Lines that are no records are removed
    too, and the log says how many.

    Args:
        save_dir: the run's folder.
        epoch: last epoch whose lines stay, from 1; lines without an epoch stay too.
        untested: whether to remove the tests of that epoch too.
    """
    path = Path(save_dir) / FILE_NAME
    if not path.is_file():
        return
    with writing(path), _alone(path):
        _drop(path, epoch, untested)


def _drop(path: Path, epoch: int, untested: bool) -> None:
    kept, dropped, damaged = [], 0, 0
    for line, record in _lines(path.parent):
        if record is None:
            damaged += 1
        elif (record.get("epoch") or 0) > epoch or (
            untested and (record.get("kind"), record.get("epoch")) == ("test", epoch)
        ):
            dropped += 1
        else:
            kept.append(line)
    if damaged:
        logger.warning("%s: %d lines that are no records were left out", path, damaged)
    if dropped or damaged:
        with replacing(path) as partial:
            partial.write_bytes(b"".join(kept))


def _lines(save_dir: str | Path) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
    """Yield each line as it is, with its end, and its record; None for a line that is no record."""
    path = Path(save_dir) / FILE_NAME
    if not path.is_file():
        return
    with path.open("rb") as file:
        while line := file.readline(_LONGEST):
            whole = line.endswith(b"\n")
            while not whole and (rest := file.readline(_LONGEST)):
                whole, line = rest.endswith(b"\n"), b""
            yield line.removesuffix(b"\n") + b"\n", _record(line)


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    # An epoch that is no number cannot be compared with that of a checkpoint.
    if not isinstance(record, dict) or type(record.get("epoch")) not in (int, type(None)):
        return None
    return record
