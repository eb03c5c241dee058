"""Parts of interrupted downloads: resumed or removed; nothing stays for good."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import signal
import threading
import time
import traceback
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch

from nr3d.errors import WeightsError
from nr3d.weights import Source, WeightsEntry, fetch
from nr3d.weights.cache import file_of, weights_folder
from nr3d.weights.http import Patience, SourceError, download
from tests.conftest import wait_for

NAME = "nr3d_resnet18_ibn.test"


def saved() -> bytes:
    buffer = io.BytesIO()
    torch.save({"a": torch.rand(80_000, generator=torch.Generator().manual_seed(1))}, buffer)
    return buffer.getvalue()


CONTENT = saved()
HASH, SIZE = hashlib.sha256(CONTENT).hexdigest(), len(CONTENT)
DONE = [f"{NAME}.pth", f"{NAME}.pth.json"]


@pytest.fixture(autouse=True)
def _fresh(no_weights: object) -> None:
    """Without weights."""


@pytest.fixture
def entry(server) -> WeightsEntry:
    server.files["/w.pth"] = CONTENT
    return WeightsEntry(NAME, (Source(url=f"{server.url}/w.pth"),), sha256=HASH, size=SIZE)


def files() -> list[str]:
    return sorted(path.name for path in weights_folder().iterdir())


def parts() -> list[Path]:
    return sorted(weights_folder().glob("*.part"))


def cut_off(server, entry: WeightsEntry, patience: Patience) -> Path:
    """Leave a part."""
    server.script = ["half", "404"]
    with pytest.raises(WeightsError):
        fetch(entry, patience=patience)
    server.script, server.requests = ["good"], []
    (part,) = parts()
    return part


def test_a_size_other_than_the_index_states_is_refused_before_a_byte(
    server, entry: WeightsEntry, hasty: Patience
) -> None:
    other = WeightsEntry(NAME, entry.sources, size=SIZE + 1)
    with pytest.raises(WeightsError, match=rf"has {SIZE:,} bytes, {SIZE + 1:,} expected"):
        fetch(other, patience=hasty)
    assert files() == []
    own = (Source(url=entry.sources[0].url, sha256=HASH),)  # whose size is not stated
    assert fetch(WeightsEntry(NAME, own, size=SIZE + 1), patience=hasty).read_bytes() == CONTENT


def test_a_part_larger_than_the_index_states_is_dropped(
    server, entry: WeightsEntry, hasty: Patience
) -> None:
    part = cut_off(server, entry, hasty)
    part.write_bytes(CONTENT + b"more")
    assert fetch(entry).read_bytes() == CONTENT
    assert server.requests == [("/w.pth", None)]
    assert files() == DONE


@pytest.mark.parametrize("change", [{"size": None}, {"sha256": None}])
def test_a_part_of_other_bytes_is_cleared_away(
    server, entry: WeightsEntry, hasty: Patience, change: dict[str, None]
) -> None:
    part = cut_off(server, entry, hasty)
    changed = WeightsEntry(NAME, entry.sources, **({"sha256": HASH, "size": SIZE} | change))
    server.script = ["404"]
    with pytest.raises(WeightsError):
        fetch(changed, patience=hasty)
    assert not part.exists()
    assert files() == []


def test_old_parts_of_other_entries_are_cleared_away(
    server, entry: WeightsEntry, hasty: Patience
) -> None:
    weights_folder().mkdir(parents=True)
    old, new = (weights_folder() / f"other.pth.0123456{n}.part" for n in range(2))
    notes, mine = Path(f"{old}.from"), weights_folder() / "mine.part"
    for path in (old, new, notes, mine):
        path.write_bytes(b"x")
        if path is not new:
            os.utime(path, (0, time.time() - 40 * 24 * 3600))
    fetch(entry)
    assert files() == sorted([*DONE, new.name, mine.name])


@pytest.mark.parametrize(
    "notes",
    [
        *(b"[]", b"5", b"\xff", b"[" * 4000, b'{"validator": 5, "total": "x"}', b'{"total": []}'),
        *(
            json.dumps({"validator": text}).encode()
            for text in ("a\r\nX: y", "é", "\0", "x" * 9000)
        ),
    ],
)
def test_notes_of_any_kind_do_no_harm(
    server, entry: WeightsEntry, hasty: Patience, notes: bytes
) -> None:
    part = cut_off(server, entry, hasty)
    Path(f"{part}.from").write_bytes(notes)
    assert fetch(entry).read_bytes() == CONTENT
    assert files() == DONE


# Processes


def begin(entry: WeightsEntry, expected: type[BaseException] | None = None) -> BaseProcess:
    """Fetch in a process of its own; its status is 0 if it ends as expected."""

    def run() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            fetch(entry)
        except BaseException as error:  # noqa: BLE001 - this is what is looked for
            if expected is None or not isinstance(error, expected):
                traceback.print_exc()
            os._exit(0 if expected and isinstance(error, expected) else 1)
        os._exit(0 if expected is None else 1)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    return process


def has_begun() -> bool:
    return any(part.stat().st_size > 80_000 for part in parts())


def test_one_of_two_is_killed_and_the_other_goes_on(server, entry: WeightsEntry) -> None:
    server.script = ["stall", "good"]
    killed = begin(entry)
    wait_for(has_begun)
    found: list[Path] = []
    other = threading.Thread(target=lambda: found.append(fetch(entry)))
    other.start()
    time.sleep(0.3)
    assert found == []
    assert len(server.requests) == 1
    killed.kill()
    killed.join()
    other.join(60)
    assert found == [file_of(entry)]
    assert found[0].read_bytes() == CONTENT
    assert server.requests[1][1] is not None, "the part of the one that was killed was not used"
    assert files() == DONE


def test_an_interrupt_leaves_a_part_and_no_lock(server, entry: WeightsEntry) -> None:
    server.script = ["stall", "good"]
    interrupted = begin(entry, KeyboardInterrupt)
    wait_for(has_begun)
    assert interrupted.pid is not None
    os.kill(interrupted.pid, signal.SIGINT)
    interrupted.join(60)
    assert interrupted.exitcode == 0
    (part,) = parts()
    assert files() == [part.name, f"{part.name}.from"]
    have = part.stat().st_size
    assert fetch(entry).read_bytes() == CONTENT
    assert server.requests[1] == ("/w.pth", f"bytes={have}-")
    assert files() == DONE


def test_what_a_killed_fetch_leaves_is_cleared_by_the_next(server, entry: WeightsEntry) -> None:
    server.script = ["stall", "good"]
    killed = begin(entry)
    wait_for(has_begun)
    killed.kill()
    killed.join()
    assert any(name.endswith(".lock") for name in files())
    (part,) = parts()
    for name in (f"{part.name}.unpacked", f".{NAME}.pth.json.812.partial"):
        (weights_folder() / name).write_bytes(b"x")
    (weights_folder() / f"{NAME}.pth.00000000.part").mkdir()
    assert fetch(entry).read_bytes() == CONTENT
    assert files() == DONE


def test_a_server_that_sends_more_than_it_says_leaves_nothing(
    raw_server, tmp_path: Path, hasty: Patience
) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    server = raw_server(head + b"400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n")
    with pytest.raises(SourceError, match="sends more than 1,000 bytes"):
        download(server.url, tmp_path / "part", size=1000, patience=hasty)
    assert list(tmp_path.glob("part*")) == []
