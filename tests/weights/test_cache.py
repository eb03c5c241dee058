"""What lies in the cache, whoever put it there: used if it is right, else one line or fetched."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nr3d.errors import WeightsError
from nr3d.weights import Source, WeightsEntry, fetch, verify
from nr3d.weights.cache import file_of, read_receipt
from nr3d.weights.http import Patience
from tests.weights.test_fetch import CONTENT, HASH, NAME


@pytest.fixture(autouse=True)
def _fresh(no_weights: object) -> None:
    """Without weights."""


@pytest.fixture
def entry(server) -> WeightsEntry:
    """An entry whose hash nobody published."""
    server.files["/w.pth"] = CONTENT
    return WeightsEntry(NAME, (Source(url=f"{server.url}/w.pth"),))


def receipt_of(entry: WeightsEntry) -> Path:
    return file_of(entry).with_name(f"{file_of(entry).name}.json")


GARBAGE = {
    "list": b"[]",
    "number": b"5",
    "nothing": b"",
    "no UTF-8": b"\xff\xfe{",
    "nested": b"[" * 50_000,
    "other keys": b'{"a": 1}',
    "wrong types": b'{"sha256": 5, "size": null, "source": []}',
    "digits": b'{"sha256": ' + b"9" * 5000 + b', "size": 1, "source": "x"}',
    "large": b" " * 10_000_000 + b"{}",
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_a_receipt_that_is_none_is_written_anew(entry: WeightsEntry, kind: str) -> None:
    path = fetch(entry)
    receipt_of(entry).write_bytes(GARBAGE[kind])
    assert read_receipt(path) is None
    assert verify(entry).state == "ok"
    assert json.loads(receipt_of(entry).read_text())["sha256"] == HASH
    receipt_of(entry).write_bytes(GARBAGE[kind])
    assert fetch(entry) == path


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_receipt_that_is_no_file_is_left_alone(
    entry: WeightsEntry, make: Callable[[Path], None]
) -> None:
    path = fetch(entry)
    receipt_of(entry).unlink()
    make(receipt_of(entry))
    assert verify(entry).state == "ok"
    assert fetch(entry) == path


def test_a_file_that_changed_since_is_fetched_again(server, entry: WeightsEntry) -> None:
    path = fetch(entry)
    path.write_bytes(CONTENT[:-1] + b"x")
    assert verify(entry).state == "wrong"
    assert fetch(entry).read_bytes() == CONTENT
    assert len(server.requests) == 2


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_in_the_way_of_the_file_is_named_and_nothing_is_fetched(
    server, entry: WeightsEntry, make: Callable[[Path], None]
) -> None:
    place = file_of(entry)
    place.parent.mkdir(parents=True)
    make(place)
    with pytest.raises(WeightsError, match=rf"{place} is in the way of a file: remove it"):
        fetch(entry)
    assert server.requests == []


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_in_the_way_of_a_part_is_removed(
    server, entry: WeightsEntry, hasty: Patience, make: Callable[[Path], None]
) -> None:
    server.script = ["half", "404"]
    with pytest.raises(WeightsError):
        fetch(entry, patience=hasty)
    (part,) = file_of(entry).parent.glob("*.part")
    part.unlink()
    make(part)
    server.script = ["good"]
    assert fetch(entry).read_bytes() == CONTENT


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_torch_hubs_place_without_a_file_is_passed_over(
    server, entry: WeightsEntry, make: Callable[[Path], None]
) -> None:
    hub = Path(torch.hub.get_dir()) / "checkpoints" / "w.pth"
    hub.parent.mkdir(parents=True)
    make(hub)
    entry = WeightsEntry(NAME, entry.sources, sha256=HASH)
    assert fetch(entry) == file_of(entry)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that cannot be read")
def test_a_file_that_cannot_be_read_has_a_reason(entry: WeightsEntry) -> None:
    sources = (Source(path="/proc/self/mem"), *entry.sources)
    entry = WeightsEntry(NAME, sources[:1], sha256=HASH)
    assert "it cannot be read (Input/output error)" in verify(entry).detail
    with pytest.raises(WeightsError, match=r"/proc/self/mem: it cannot be read \(Input/output"):
        fetch(entry)
    file_of(entry).symlink_to("/proc/self/mem")
    with pytest.raises(WeightsError, match=r"it cannot be read"):
        fetch(WeightsEntry(NAME, ()))


def test_names_that_no_file_can_have(
    server, entry: WeightsEntry, monkeypatch: pytest.MonkeyPatch, hasty: Patience
) -> None:
    server.files[f"/{'long' * 100}.pth"] = CONTENT
    long = Source(url=f"{server.url}/{'long' * 100}.pth", sha256=HASH)
    entry = WeightsEntry(NAME, (Source(path="/" + "x" * 5000), long))
    assert fetch(entry, patience=hasty).read_bytes() == CONTENT
    monkeypatch.setenv("NR3D_HOME", "/" + "x" * 5000)
    assert verify(entry).state == "missing"
    with pytest.raises(WeightsError, match=r"cannot be written \(File name too long\)"):
        fetch(entry, patience=hasty)
