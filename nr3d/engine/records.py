"""The run's records: a line of JSON per epoch and per test."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nr3d.atomic import replacing
from nr3d.json_files import finite

logger = logging.getLogger(__name__)

FILE_NAME = "metrics.jsonl"

_LONGEST = 1 << 20
"""Bytes of a line that may be a record."""


def append_record(save_dir: str | Path, record: dict[str, Any]) -> None:
    """Append one line to the run's ``metrics.jsonl``.

    Args:
        save_dir: the run's folder; made if missing.
        record: plain values; a number that is not finite becomes null.
    """
    path = Path(save_dir) / FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(finite(record))
    with path.open("a+b") as file:
        # A run that was killed while it wrote leaves half a line; the next one starts anew.
        if file.tell():
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(line.encode() + b"\n")


def read_records(save_dir: str | Path) -> list[dict[str, Any]]:
    """Read the records of a run's ``metrics.jsonl``; none if there is no file.

    Lines that are none are left out, such as one that a kill cut short or a power cut filled with
    zeros.
    """
    return [record for _, record in _lines(save_dir) if record is not None]


def drop_records_after(save_dir: str | Path, epoch: int) -> None:
    """Take the lines of later epochs out of a run's ``metrics.jsonl``.

    A run that goes on from a checkpoint writes them again. Lines that are no records are taken out
    too, and the log says how many.

    Args:
        save_dir: the run's folder.
        epoch: the last epoch (from 1) whose lines stay; lines without an epoch stay too.
    """
    path = Path(save_dir) / FILE_NAME
    kept, dropped, damaged = [], 0, 0
    for line, record in _lines(save_dir):
        if record is None:
            damaged += 1
        elif (record.get("epoch") or 0) > epoch:
            dropped += 1
        else:
            kept.append(line)
    if damaged:
        logger.warning("%s: %d lines that are no records were left out", path, damaged)
    if dropped or damaged:
        with replacing(path) as partial:
            partial.write_bytes(b"".join(kept))


def _lines(save_dir: str | Path) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
    """Give each line as it is, with its end, and its record; None for what is none."""
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
    # Of an epoch that is no number, nobody can say whether it is still to come.
    if not isinstance(record, dict) or type(record.get("epoch")) not in (int, type(None)):
        return None
    return record
