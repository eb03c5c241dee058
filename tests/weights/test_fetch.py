"""Fetching by name: from this machine, from the sources in order, once, and only what is right."""

from __future__ import annotations

import hashlib
import io
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from nr3d.errors import WeightsError
from nr3d.weights import Source, WeightsEntry, add, cached, fetch, verify
from nr3d.weights.cache import file_of, weights_folder
from nr3d.weights.http import Patience
from tests.conftest import wait_for

NAME = "nr3d_resnet18_ibn.test"


def saved(seed: int) -> bytes:
    """A weights file of about 200 kB."""
    buffer = io.BytesIO()
    torch.save({"a": torch.rand(50_000, generator=torch.Generator().manual_seed(seed))}, buffer)
    return buffer.getvalue()


CONTENT, OTHER = saved(1), saved(2)
HASH = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def _fresh(no_weights: object) -> None:
    """Without weights."""


@pytest.fixture
def entry(server) -> WeightsEntry:
    server.files["/w.pth"] = CONTENT
    return WeightsEntry(NAME, (Source(url=f"{server.url}/w.pth"),), sha256=HASH)


def files() -> list[str]:
    """What fetching left in its folder."""
    if not weights_folder().is_dir():
        return []
    return sorted(p.name for p in weights_folder().iterdir())


DONE = [f"{NAME}.pth", f"{NAME}.pth.json"]


@pytest.mark.parametrize("digest", [HASH, HASH[:8], None])
def test_fetched_once_verified_and_with_a_receipt(
    server, entry: WeightsEntry, digest: str | None
) -> None:
    entry = WeightsEntry(entry.name, entry.sources, sha256=digest)
    assert (cached(entry), verify(entry).state) == (None, "missing")
    for _ in range(2):
        path = fetch(entry)
        assert path == weights_folder() / f"{NAME}.pth"
        assert path.read_bytes() == CONTENT
    assert len(server.requests) == 1
    assert files() == DONE
    receipt = json.loads((weights_folder() / DONE[1]).read_text())
    assert receipt == {
        "sha256": HASH,
        "size": len(CONTENT),
        "source": f"{server.url}/w.pth",
    }
    assert (cached(entry), verify(entry).state) == (path, "ok")
    assert HASH in verify(entry).detail


@pytest.mark.parametrize("digest", [HASH, None])
@pytest.mark.parametrize("script", [["html"], ["404"], ["truncated"], ["quota-octet"]])
def test_a_wrong_file_never_gets_the_name(
    server, entry: WeightsEntry, hasty: Patience, digest: str | None, script: list[str]
) -> None:
    server.script = script
    with pytest.raises(WeightsError) as caught:
        fetch(WeightsEntry(entry.name, entry.sources, sha256=digest), patience=hasty)
    message = str(caught.value)
    for part in (NAME, f"{server.url}/w.pth", str(file_of(entry)), "pretrained=False"):
        assert part in message
    assert "\n" not in message
    assert [name for name in files() if name.endswith(".pth")] == []


def test_other_bytes_are_said_by_their_hash(server, entry: WeightsEntry, hasty: Patience) -> None:
    server.script = ["other"]
    with pytest.raises(
        WeightsError, match=f"SHA-256 starts with [0-9a-f]{{12}}, expected {HASH[:12]}"
    ):
        fetch(entry, patience=hasty)
    assert files() == []


def test_old_bytes_of_another_file_are_not_blamed_on_todays(
    server, entry: WeightsEntry, hasty: Patience
) -> None:
    """A part of an earlier file of the same size, without a tag to tell: begun anew once."""
    server.tag, server.script = "", ["half", "404"]
    server.files["/w.pth"] = OTHER
    with pytest.raises(WeightsError, match="HTTP 404"):
        fetch(entry, patience=hasty)
    assert any(name.endswith(".part") for name in files())
    server.files["/w.pth"], server.script = CONTENT, ["good"]
    assert fetch(entry, patience=hasty).read_bytes() == CONTENT
    assert files() == DONE


def test_the_next_source_is_tried(
    server, entry: WeightsEntry, hasty: Patience, caplog: pytest.LogCaptureFixture
) -> None:
    server.files["/other.pth"] = OTHER
    sources = (
        Source(path="/nowhere/w.pth"),
        Source(url=f"{server.url}/gone.pth"),
        Source(url=f"{server.url}/other.pth"),
        *entry.sources,
    )
    with caplog.at_level("WARNING", logger="nr3d"):
        path = fetch(WeightsEntry(NAME, sources, sha256=HASH), patience=hasty)
    assert path.read_bytes() == CONTENT
    assert [path for path, _ in server.requests] == ["/gone.pth", "/other.pth", "/w.pth"]
    assert f"not from {server.url}/gone.pth: HTTP 404" in caplog.text
    assert files() == DONE
    with pytest.raises(WeightsError) as caught:
        fetch(WeightsEntry("nr3d_resnet18_ibn.b", sources[:3], sha256=HASH), patience=hasty)
    for part in ("/nowhere/w.pth: no such file", "gone.pth: HTTP 404", "other.pth: its SHA-256"):
        assert part in str(caught.value)


def test_a_source_of_other_bytes_has_its_own_hash(server, entry: WeightsEntry) -> None:
    server.files["/other.pth"] = OTHER
    other = hashlib.sha256(OTHER).hexdigest()
    sources = (Source(url=f"{server.url}/other.pth", sha256=other), *entry.sources)
    entry = WeightsEntry(NAME, sources, sha256=HASH)
    assert fetch(entry).read_bytes() == OTHER
    assert fetch(entry).read_bytes() == OTHER
    assert verify(entry).state == "ok"
    assert len(server.requests) == 1


@pytest.mark.parametrize("value", ["1", "true", "YES"])
def test_offline_asks_nobody(
    server, entry: WeightsEntry, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("NR3D_OFFLINE", value)
    with pytest.raises(WeightsError) as caught:
        fetch(entry)
    for part in (NAME, "NR3D_OFFLINE", f"{server.url}/w.pth", str(file_of(entry))):
        assert part in str(caught.value)
    assert server.requests == []
    file_of(entry).parent.mkdir(parents=True)
    file_of(entry).write_bytes(CONTENT)
    assert fetch(entry) == file_of(entry)
    file_of(entry).write_bytes(OTHER)
    with pytest.raises(WeightsError, match=r"its SHA-256 starts with .* NR3D_OFFLINE"):
        fetch(entry)


def test_a_file_put_by_hand(server, entry: WeightsEntry, caplog: pytest.LogCaptureFixture) -> None:
    place = file_of(entry)
    place.parent.mkdir(parents=True)
    place.write_bytes(CONTENT)
    assert fetch(entry) == place
    assert server.requests == []
    # without a published hash it is taken if it holds weights, and may not change from then on
    unhashed = WeightsEntry("nr3d_resnet18_ibn.b", (Source(drive="1aB"), *entry.sources))
    place = file_of(unhashed)
    place.write_bytes(OTHER)
    assert fetch(unhashed) == place
    place.write_bytes(CONTENT)
    assert verify(unhashed).state == "wrong"
    assert "when it was fetched" in verify(unhashed).detail
    place.with_name(f"{place.name}.json").unlink()
    place.write_bytes(b"<html>quota</html>")
    assert verify(unhashed).state == "wrong"


def test_a_damaged_file_is_fetched_again(
    server, entry: WeightsEntry, caplog: pytest.LogCaptureFixture
) -> None:
    place = fetch(entry)
    place.write_bytes(CONTENT[:-9])
    assert verify(entry).state == "wrong"
    with caplog.at_level("WARNING", logger="nr3d"):
        assert fetch(entry).read_bytes() == CONTENT
    assert f"not from {place}: its SHA-256 starts with" in caplog.text
    assert len(server.requests) == 2


def test_torch_hubs_file_is_used_where_it_lies_if_it_is_right(
    server, entry: WeightsEntry, caplog: pytest.LogCaptureFixture
) -> None:
    hub = Path(torch.hub.get_dir()) / "checkpoints" / "w.pth"
    hub.parent.mkdir(parents=True)
    hub.write_bytes(CONTENT)
    assert fetch(entry) == hub == cached(entry)
    assert verify(entry).state == "ok"
    assert server.requests == []
    hub.write_bytes(OTHER)
    assert verify(entry).state == "wrong"
    with caplog.at_level("WARNING", logger="nr3d"):
        assert fetch(entry) == file_of(entry)
    assert f"not from {hub}: its SHA-256" in caplog.text


def test_torch_hubs_file_is_not_used_where_no_hash_tells_what_it_is(
    server, entry: WeightsEntry
) -> None:
    hub = Path(torch.hub.get_dir()) / "checkpoints" / "w.pth"
    hub.parent.mkdir(parents=True)
    hub.write_bytes(OTHER)
    unhashed = WeightsEntry(NAME, entry.sources)
    assert cached(unhashed) is None
    assert fetch(unhashed) == file_of(entry)
    assert file_of(entry).read_bytes() == CONTENT


def test_a_file_on_this_machine_is_used_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(CONTENT)
    entry = WeightsEntry(NAME, (Source(path=str(path)),), sha256=HASH[:10])
    assert fetch(entry) == path
    assert files() == []
    path.write_bytes(OTHER)
    with pytest.raises(WeightsError, match=r"mine.pth: its SHA-256 starts with"):
        fetch(entry)


def test_a_cache_that_cannot_be_written_is_named(
    server, entry: WeightsEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NR3D_HOME", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match=r"file/weights cannot be written .* set NR3D_HOME"):
        fetch(entry)


# Processes


def start(entry: WeightsEntry, log: Any) -> subprocess.Popen[bytes]:
    """Begin ``nr3d weights fetch`` in a process of its own."""
    words = [sys.executable, "-m", "nr3d", "weights", "fetch", entry.name]
    return subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)


@pytest.fixture
def own_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "index.yaml").write_text("")
    monkeypatch.setenv("NR3D_WEIGHTS_INDEX", str(tmp_path / "index.yaml"))


def test_killed_and_fetched_by_two_at_once(
    server, entry: WeightsEntry, own_index: None, tmp_path: Path
) -> None:
    """Kill -9 in the middle leaves a part, which two processes then complete once."""
    add(entry)
    server.script = ["stall"]
    with (tmp_path / "log").open("wb") as log:
        killed = start(entry, log)
        wait_for(lambda: any(p.endswith(".part") and size_of(p) > 80_000 for p in files()))
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    (part,) = [name for name in files() if name.endswith(".part")]
    have = size_of(part)
    assert 0 < have < len(CONTENT)
    assert f"{NAME}.pth" not in files()

    server.script, server.requests, server.sent = ["slow"], [], 0
    with (tmp_path / "log").open("wb") as log:
        both = [start(entry, log) for _ in range(2)]
        assert [process.wait(120) for process in both] == [0, 0], (tmp_path / "log").read_text()
    assert server.requests == [("/w.pth", f"bytes={have}-")]
    assert fetch(entry).read_bytes() == CONTENT
    assert files() == DONE
    assert (tmp_path / "log").read_text().count(f"{NAME}: {file_of(entry)}") == 2


def size_of(name: str) -> int:
    return (weights_folder() / name).stat().st_size


def test_without_a_network_the_command_says_in_a_line_what_it_tried_and_what_to_do(
    no_weights: object,
) -> None:
    """No name is resolved in this process: the shipped addresses are requested in vain."""
    code = (
        "import socket, sys\n"
        "def nowhere(*args, **kwargs): raise socket.gaierror(-3, 'Temporary failure')\n"
        "socket.getaddrinfo = nowhere\n"
        "from nr3d.cli import main\n"
        "sys.exit(main(['weights', 'fetch', 'nr3d_resnet50_ibn.imagenet']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    for part in (
        "nr3d: error: nr3d_resnet50_ibn.imagenet could not be fetched",
        "resnet50_ibn_a-d9d0bb7b.pth: cannot resolve github.com",
        "Google Drive 13lprTFafpXORqs7XXMLYaelbtw6NxQM1: cannot resolve drive.google.com",
        "put the file by hand at",
        "pretrained=False",
    ):
        assert part in line
