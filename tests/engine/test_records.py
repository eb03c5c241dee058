"""The run's records survive a kill."""

from __future__ import annotations

import json
import logging
import multiprocessing
from pathlib import Path

import pytest

from nr3d.engine import append_record, read_records
from nr3d.engine.records import drop_records_after


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


@pytest.mark.parametrize(
    "line",
    [
        *(b"5", b"[]", b"null", b'"epoch"', b"\0" * 512, b"\xff\xfe{}", b"[" * 100_000),
        *(b'{"epoch": "2"}', b'{"epoch": 1.5}', b'{"epoch": true}', b'{"epoch": NaN}'),
        *(b'{"epoch": {}}', b"1" * 5000, b'"' + b"x" * (5 << 20) + b'"', b'{"loss": "\xc3'),
    ],
    ids=lambda line: repr(line[:16]),
)
@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_damaged_line_blocks_no_run_that_goes_on(
    tmp_path: Path, line: bytes, end: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "metrics.jsonl"
    first = b'{"epoch": 1,  "loss": 0.1, "name": "\\ud800"}\n'  # as it is, spaces and all
    later = b'{"kind": "test", "epoch": null}\n'
    file.write_bytes(first + line + b"\n" + later + b'{"epoch": 3}\n' + line + end)
    records = [json.loads(text) for text in (first, later)]
    assert read_records(tmp_path) == [*records, {"epoch": 3}]
    with caplog.at_level(logging.WARNING):
        drop_records_after(tmp_path, 2)
    assert caplog.messages == [f"{file}: 2 lines that are no records were left out"]
    assert file.read_bytes() == first + later
    append_record(tmp_path, {"epoch": 3, "terms": {"id": float("inf")}})
    assert read_records(tmp_path) == [*records, {"epoch": 3, "terms": {"id": None}}]


def test_records_that_all_stay_are_not_written_again(tmp_path: Path) -> None:
    append_record(tmp_path, {"epoch": 1})
    file = tmp_path / "metrics.jsonl"
    before = file.stat()
    drop_records_after(tmp_path, 1)
    assert file.stat().st_ino == before.st_ino
    drop_records_after(tmp_path / "none", 1)


def test_no_line_is_lost_to_others_who_write(tmp_path: Path) -> None:
    """Tests into the folder of a run that goes on, and so rewrites the file."""

    def append(writer: int) -> None:
        for number in range(100):
            append_record(tmp_path, {"epoch": None, "writer": writer, "number": number})

    append_record(tmp_path, {"epoch": 1})
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=append, args=(writer,)) for writer in range(3)]
    for each in writers:
        each.start()
    while any(each.is_alive() for each in writers):
        drop_records_after(tmp_path, 0)
    found = [(r["writer"], r["number"]) for r in read_records(tmp_path) if r["epoch"] is None]
    assert sorted(found) == [(writer, number) for writer in range(3) for number in range(100)]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]
