"""Patience: what users' downloads grant a server, and that each limit is kept."""

from __future__ import annotations

import inspect
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from email.utils import formatdate
from pathlib import Path

import pytest

from nr3d.weights import fetch
from nr3d.weights.archive import download_member
from nr3d.weights.drive import download_drive
from nr3d.weights.http import Patience, SourceError, download, read_page, read_range, read_span
from nr3d.weights.patience import PATIENCE

CONTENT = bytes(range(256)) * 40
BUSY = b"HTTP/1.1 503 Busy\r\n"
Send = Callable[[bytes], bool]


@pytest.fixture(autouse=True)
def _fresh(no_weights: object) -> None:
    """Without a proxy."""


def test_users_wait_long() -> None:
    assert asdict(PATIENCE) == {
        "attempts": 5,
        "unreachable": 2,
        "backoff": 1.0,
        "longest": 60.0,
        "connect": 10.0,
        "read": 30.0,
        "answer": 60.0,
        "slowest": 1000.0,
        "window": 30.0,
        "total": 43_200.0,
    }


@pytest.mark.parametrize(
    "function",
    [fetch, download, read_page, read_range, read_span, download_drive, download_member],
)
def test_it_is_what_every_download_has_by_itself(function: Callable[..., object]) -> None:
    assert inspect.signature(function).parameters["patience"].default == PATIENCE


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of each wait, none of which takes place."""
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


@pytest.mark.parametrize("answer", [BUSY + b"Content-Length: 0\r\n\r\n", b""])
def test_waits_double_up_to_the_longest(
    raw_server, tmp_path: Path, pauses: list[float], answer: bytes
) -> None:
    patience = Patience(attempts=6, backoff=0.5, longest=3.0)
    with pytest.raises(SourceError):
        download(raw_server(answer).url, tmp_path / "part", patience=patience)
    assert pauses == [0.5, 1.0, 2.0, 3.0, 3.0]


BROKEN = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"


@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize(
    "answers", [[BUSY + b"\r\n"], [BROKEN], [b""], [BUSY + b"\r\n", BROKEN, b"", BROKEN]]
)
def test_attempts_are_counted_whatever_fails(
    raw_server, tmp_path: Path, hasty: Patience, answers: list[bytes], attempts: int
) -> None:
    """The request, its answer, or now the one and now the other."""

    def speak(send: Send, request: str) -> None:
        send(answers[(len(server.asked) - 1) % len(answers)])

    server = raw_server(speak)
    with pytest.raises(SourceError):
        download(server.url, tmp_path / "part", patience=replace(hasty, attempts=attempts))
    assert len(server.asked) == attempts


def test_progress_renews_the_attempts(raw_server, tmp_path: Path, hasty: Patience) -> None:
    """Each answer brings a few bytes more, and two failures come between."""

    def speak(send: Send, request: str) -> None:
        number = len(server.asked) - 1
        if number % 3:
            send(BUSY + b"Content-Length: 0\r\n\r\n")
            return
        first = 10 * (number // 3)
        head = f"HTTP/1.1 206 Partial\r\nContent-Range: bytes {first}-99/100\r\n"
        if not first:
            head = "HTTP/1.1 200 OK\r\n"
        send(f"{head}Content-Length: {100 - first}\r\n\r\n".encode() + CONTENT[first : first + 10])

    server = raw_server(speak)
    download(server.url, tmp_path / "part", patience=replace(hasty, attempts=3))
    assert (tmp_path / "part").read_bytes() == CONTENT[:100]
    assert len(server.asked) == 28


@pytest.mark.parametrize("unreachable", [1, 3])
def test_a_server_that_cannot_be_reached_is_given_up_sooner(
    tmp_path: Path, hasty: Patience, monkeypatch: pytest.MonkeyPatch, unreachable: int
) -> None:
    asked = []

    def nowhere(host: str, *args: object, **options: object) -> None:
        asked.append(host)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    with pytest.raises(SourceError, match=r"cannot resolve weights\.invalid"):
        download(
            "http://weights.invalid/w.pth",
            tmp_path / "part",
            patience=replace(hasty, unreachable=unreachable),
        )
    assert len(asked) == unreachable


def test_a_proxy_that_refuses_is_given_up_as_soon(
    raw_server, tmp_path: Path, hasty: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = raw_server(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
    monkeypatch.setenv("https_proxy", proxy.url)
    with pytest.raises(SourceError, match=r"no connection to the proxy \(.*407"):
        download("https://weights.invalid/w.pth", tmp_path / "part", patience=hasty)
    assert len(proxy.asked) == hasty.unreachable


@pytest.mark.parametrize(
    ("seconds", "pause"), [("0", 0.0), ("7", 7.0), ("3600", 60.0), (-3600, 0.0), (3600, 60.0)]
)
def test_a_server_says_when_to_come_back(
    server, tmp_path: Path, pauses: list[float], seconds: str | int, pause: float
) -> None:
    server.files["/w.pth"] = CONTENT
    when = formatdate(time.time() + seconds, usegmt=True) if isinstance(seconds, int) else seconds
    server.script, server.headers = ["503", "good"], {"Retry-After": when}
    download(f"{server.url}/w.pth", tmp_path / "part")
    assert pauses == [pause]


def test_a_wait_beyond_the_total_time_is_not_begun(
    raw_server, tmp_path: Path, hasty: Patience, pauses: list[float]
) -> None:
    """Neither after an answer without a file nor after a part of one."""
    patience = replace(hasty, backoff=30.0, longest=60.0)
    for answer in (BUSY + b"Content-Length: 0\r\n\r\n", BROKEN + b"half", BROKEN):
        server = raw_server(answer)
        with pytest.raises(SourceError, match=r"HTTP 503 Busy|the connection broke"):
            download(server.url, tmp_path / "part", patience=patience)
        assert (len(server.asked), pauses) == (1, [])
        (tmp_path / "part").unlink(missing_ok=True)


def test_a_busy_servers_body_is_not_waited_for(raw_server, tmp_path: Path, hasty: Patience) -> None:
    """It takes a minute."""

    def speak(send: Send, request: str) -> None:
        going = send(BUSY + b"Content-Length: 600\r\n\r\n")
        while going:
            time.sleep(0.1)
            going = send(b"x")

    server, started = raw_server(speak), time.monotonic()
    with pytest.raises(SourceError, match="HTTP 503 Busy"):
        download(server.url, tmp_path / "part", patience=replace(hasty, answer=90, window=90))
    assert len(server.asked) == hasty.attempts
    assert time.monotonic() - started < 10


def test_what_is_never_tried_again(server, tmp_path: Path, hasty: Patience) -> None:
    server.script, server.headers = ["413", "good"], {"Retry-After": "0"}
    with pytest.raises(SourceError, match="HTTP 413"):
        download(f"{server.url}/w.pth", tmp_path / "part", patience=hasty)
    assert len(server.requests) == 1


def test_retries_are_not_logged_by_the_client_library(
    server, tmp_path: Path, hasty: Patience, caplog: pytest.LogCaptureFixture
) -> None:
    server.files["/w.pth"], server.script = CONTENT, ["drop", "drop", "good"]
    with caplog.at_level(logging.INFO):
        download(f"{server.url}/w.pth", tmp_path / "part", patience=hasty)
    assert caplog.text == ""
