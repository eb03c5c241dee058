"""The run's records: a line of JSON per epoch and per test."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from nr3d.atomic import replacing

FILE_NAME = "metrics.jsonl"


def append_record(save_dir: str | Path, record: dict[str, Any]) -> None:
    """Append one line to the run's ``metrics.jsonl``.

    Args:
        save_dir: the run's folder; made if missing.
        record: plain values; a number that is not finite becomes null.
    """
    path = Path(save_dir) / FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in record.items()
    }
    line = json.dumps(finite)
    with path.open("a+b") as file:
        # A run that was killed while it wrote leaves half a line; the next one starts anew.
        if file.tell():
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(line.encode() + b"\n")


def read_records(save_dir: str | Path) -> list[dict[str, Any]]:
    """Read the whole lines of a run's ``metrics.jsonl``; none if there is no file."""
    path = Path(save_dir) / FILE_NAME
    if not path.is_file():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue  # cut short by a kill
    return records


def drop_records_after(save_dir: str | Path, epoch: int) -> None:
    """Take the lines of later epochs out of a run's ``metrics.jsonl``.

    A run that goes on from a checkpoint writes them again.

    Args:
        save_dir: the run's folder.
        epoch: the last epoch (from 1) whose lines stay; lines without an epoch stay too.
    """
    path = Path(save_dir) / FILE_NAME
    if path.is_file():
        kept = [r for r in read_records(save_dir) if (r.get("epoch") or 0) <= epoch]
        with replacing(path) as partial:
            partial.write_text("".join(f"{json.dumps(r)}\n" for r in kept), encoding="utf-8")
