"""Downloads from a server that misbehaves: the file's bytes, or a reason in a few words."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nr3d.errors import WeightsError
from nr3d.weights.http import Patience, SourceError, download, read_range

CONTENT = os.urandom(320_000)
BLOCK = 1 << 14
HALF = len(CONTENT) // 2
KEPT = {"half": HALF, "stall": HALF // BLOCK * BLOCK}
"""What is kept of half a file: where nothing more comes, whole blocks."""


@pytest.fixture(autouse=True)
def _fresh(no_weights: object) -> None:
    """Without a proxy."""


@pytest.fixture
def url(server) -> str:
    server.files["/w.pth"] = CONTENT
    return f"{server.url}/w.pth"


@pytest.mark.parametrize(
    ("script", "requests"),
    [
        (["good"], 1),
        (["half", "good"], 2),
        (["half", "half", "half", "good"], 4),
        (["stall", "good"], 2),
        (["drop", "good"], 2),
        (["500", "503", "good"], 3),
        (["408", "429", "good"], 3),
        (["noranges"], 1),
        (["half", "noranges", "good"], 2),
        (["half", "416", "good"], 3),
        (["half", "drop", "half", "500", "good"], 5),
    ],
)
def test_what_may_pass_is_tried_again_and_gone_on_with(
    server, url: str, tmp_path: Path, hasty: Patience, script: list[str], requests: int
) -> None:
    server.script = list(script)
    download(url, tmp_path / "part", patience=hasty)
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert len(server.requests) == requests
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["part"]


def test_only_the_missing_bytes_are_asked_for(
    server, url: str, tmp_path: Path, hasty: Patience
) -> None:
    server.script = ["half", "good"]
    download(url, tmp_path / "part", patience=hasty)
    assert server.requests == [("/w.pth", None), ("/w.pth", f"bytes={HALF}-")]
    assert server.sent == len(CONTENT)


@pytest.mark.parametrize(
    ("word", "reason", "requests"),
    [
        ("404", "HTTP 404 Not Found", 1),
        ("403", "HTTP 403 Forbidden", 1),
        ("500", "HTTP 500 Internal Server Error", 5),
        ("429", "HTTP 429 Too Many Requests", 5),
        ("drop", "no connection", 5),
        ("html", "a web page ('Moved & gone') instead of the file", 1),
        ("html-octet", "a web page ('Moved & gone') instead of the file", 1),
        ("quota", "a quota page ('Google Drive - Quota exceeded') instead of the file", 1),
        ("quota-octet", "a quota page", 1),
        ("login", "a login page ('Portal') instead of the file", 1),
        ("login-octet", "a login page", 1),
    ],
)
def test_what_does_not_pass_has_a_reason_and_leaves_no_file(
    server, url: str, tmp_path: Path, hasty: Patience, word: str, reason: str, requests: int
) -> None:
    server.script = [word]
    with pytest.raises(SourceError) as caught:
        download(url, tmp_path / "part", patience=hasty)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 120
    assert len(server.requests) == requests
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


@pytest.mark.parametrize("word", ["half", "stall"])
def test_a_server_that_gives_nothing_more_is_given_up_and_the_part_stays(
    server, url: str, tmp_path: Path, hasty: Patience, word: str
) -> None:
    server.script = [word, "drop"]
    with pytest.raises(SourceError, match="no connection"):
        download(url, tmp_path / "part", patience=hasty)
    assert (tmp_path / "part").read_bytes() == CONTENT[: KEPT[word]]
    server.script, server.sent = ["good"], 0
    download(url, tmp_path / "part", patience=hasty)
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert server.sent == len(CONTENT) - KEPT[word]


def test_a_file_that_changed_is_begun_anew(
    server, url: str, tmp_path: Path, hasty: Patience
) -> None:
    server.script = ["half", "drop"]
    with pytest.raises(SourceError):
        download(url, tmp_path / "part", patience=hasty)
    new = os.urandom(len(CONTENT))
    server.files["/w.pth"], server.tag, server.script = new, '"2"', ["good"]
    download(url, tmp_path / "part", patience=hasty)
    assert (tmp_path / "part").read_bytes() == new


@pytest.mark.parametrize(("tag", "validator"), [('"1"', '"1"'), ('W/"1"', "")])
def test_a_weak_tag_says_nothing_of_the_bytes(
    server, url: str, tmp_path: Path, hasty: Patience, tag: str, validator: str
) -> None:
    server.tag, server.script = tag, ["half", "404"]
    with pytest.raises(SourceError):
        download(url, tmp_path / "part", patience=hasty)
    notes = json.loads((tmp_path / "part.from").read_text())
    assert notes == {"validator": validator, "total": len(CONTENT)}


def test_without_a_tag_a_file_of_another_size_is_begun_anew(
    server, url: str, tmp_path: Path, hasty: Patience
) -> None:
    server.tag, server.script = "", ["half", "drop"]
    with pytest.raises(SourceError):
        download(url, tmp_path / "part", patience=hasty)
    new = os.urandom(len(CONTENT) + 5)
    server.files["/w.pth"], server.script = new, ["good"]
    download(url, tmp_path / "part", patience=hasty)
    assert (tmp_path / "part").read_bytes() == new


def test_a_whole_part_is_not_asked_for_again(
    server, url: str, tmp_path: Path, hasty: Patience
) -> None:
    (tmp_path / "part").write_bytes(CONTENT)
    download(url, tmp_path / "part", patience=hasty)
    assert server.sent == 0
    (tmp_path / "part").write_bytes(CONTENT + b"more")
    download(url, tmp_path / "part", patience=hasty)
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_the_server_says_how_long_to_wait(server, url: str, tmp_path: Path) -> None:
    patient = Patience(backoff=5, longest=0.4)
    for value, low, high in (("0", 0.0, 0.35), ("3600", 0.4, 5.0)):
        server.script, server.headers = ["429", "good"], {"Retry-After": value}
        started = time.monotonic()
        download(url, tmp_path / value, patience=patient)
        assert low <= time.monotonic() - started < high


def test_no_connection_is_a_few_words_and_soon(tmp_path: Path, hasty: Patience) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    for address, reason in (
        (f"http://127.0.0.1:{port}/w.pth", "connection refused by 127.0.0.1"),
        ("http://nowhere.invalid/w.pth", "cannot resolve nowhere.invalid"),
    ):
        with pytest.raises(SourceError) as caught:
            download(address, tmp_path / "part", patience=hasty)
        assert str(caught.value) == reason


def test_proxies_of_the_environment(
    server, tmp_path: Path, hasty: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["/w.pth"] = CONTENT
    monkeypatch.setenv("http_proxy", server.url)
    download("http://weights.invalid/w.pth", tmp_path / "part", patience=hasty)
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert server.requests == [("http://weights.invalid/w.pth", None)]
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(SourceError, match="no connection to the proxy"):
        download("http://weights.invalid/w.pth", tmp_path / "part2", patience=hasty)


def test_a_span_of_a_file(server, url: str, tmp_path: Path, hasty: Patience) -> None:
    server.script = ["half", "good"]
    download(url, tmp_path / "part", span=(1000, 4 * BLOCK), patience=hasty)
    assert (tmp_path / "part").read_bytes() == CONTENT[1000 : 1000 + 4 * BLOCK]
    assert server.requests[1] == ("/w.pth", f"bytes={1000 + 2 * BLOCK}-{999 + 4 * BLOCK}")
    assert read_range(url, 7, 9, hasty) == CONTENT[7:16]
    server.script = ["noranges"]
    for ask in (
        lambda: read_range(url, 7, 9, hasty),
        lambda: download(url, tmp_path / "p", span=(3, 5), patience=hasty),
    ):
        with pytest.raises(SourceError, match="does not serve byte ranges"):
            ask()


def test_too_little_space_is_said_before_a_byte_is_written(
    url: str, tmp_path: Path, hasty: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 100_000})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(WeightsError, match=r"has 0 MB free and the download needs 0 MB.*NR3D_HOME"):
        download(url, tmp_path / "part", patience=hasty)
    assert not (tmp_path / "part").exists()


def test_a_full_disk_leaves_a_part_that_is_gone_on_with(
    server, url: str, tmp_path: Path, hasty: Patience
) -> None:
    """A process that may write files of 200 kB at most stands for the disk."""
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from nr3d.weights.http import download\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "download(sys.argv[1], Path(sys.argv[2]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, url, str(tmp_path / "part")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "part cannot be written (File too large): free some space and run" in done.stderr
    have = (tmp_path / "part").stat().st_size
    assert 0 < have <= 200_000
    assert resource.getrlimit(resource.RLIMIT_FSIZE) != (200_000, 200_000)
    server.sent = 0
    download(url, tmp_path / "part", patience=hasty)
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert server.sent == len(CONTENT) - have
