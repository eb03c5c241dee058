"""The run's records survive a kill."""

from __future__ import annotations

from pathlib import Path

from nr3d.engine import append_record, read_records


def test_a_line_per_record(tmp_path: Path) -> None:
    append_record(tmp_path / "new" / "run", {"epoch": 1, "loss": 0.5})
    append_record(tmp_path / "new" / "run", {"epoch": 2, "loss": float("nan")})
    assert read_records(tmp_path / "new" / "run") == [
        {"epoch": 1, "loss": 0.5},
        {"epoch": 2, "loss": None},
    ]
    assert read_records(tmp_path) == []


def test_half_a_line_costs_only_itself(tmp_path: Path) -> None:
    append_record(tmp_path, {"epoch": 1})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "lo')
    append_record(tmp_path, {"epoch": 3})
    assert read_records(tmp_path) == [{"epoch": 1}, {"epoch": 3}]
