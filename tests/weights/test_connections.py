"""Servers that exhaust: each answer has a time, a least rate and a bound of bytes."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nr3d.weights import http
from nr3d.weights.http import Patience, SourceError, download, read_range

Send = Callable[[bytes], bool]
OK = b"HTTP/1.1 200 OK\r\n"
PARTIAL = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-99/1000\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(autouse=True)
def _fresh(no_weights: object) -> None:
    """Without a proxy."""


def without_end(start: bytes, more: bytes) -> Callable[[Send, str], None]:
    """Send a start, and then the same for as long as somebody listens (up to 400 MB)."""
    block = more * (65536 // len(more))

    def speak(send: Send, request: str) -> None:
        going = send(start)
        for _ in range(6400):
            going = going and send(block)

    return speak


def trickled(start: bytes, content: bytes, pause: float) -> Callable[[Send, str], None]:
    """Send a start, and then single bytes with a pause after each."""

    def speak(send: Send, request: str) -> None:
        send(start)
        for place in range(len(content)):
            time.sleep(pause)
            if not send(content[place : place + 1]):
                return

    return speak


def held(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


@pytest.mark.parametrize("head", [b"\r\n", b"Content-Length: 90000000000000\r\n\r\n"])
def test_no_more_bytes_come_than_the_index_states(
    raw_server, tmp_path: Path, hasty: Patience, head: bytes
) -> None:
    server = raw_server(without_end(OK + head, b"x"))
    with pytest.raises(SourceError, match=r"sends more than 100,000 bytes|100,000 expected"):
        download(server.url, tmp_path / "part", size=100_000, patience=hasty)
    assert len(server.asked) == 1
    assert held(tmp_path) == 0


def test_a_stream_without_end_has_an_end(
    raw_server, tmp_path: Path, hasty: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MOST_BYTES", 1_000_000)
    server = raw_server(without_end(OK + CHUNKED, b"100\r\n" + b"x" * 256 + b"\r\n"))
    with pytest.raises(SourceError, match="sends more than 1,000,000 bytes"):
        download(server.url, tmp_path / "part", patience=hasty)
    server = raw_server(OK + b"Content-Length: 1000001\r\n\r\n")
    with pytest.raises(SourceError, match="has 1,000,001 bytes, more than the 1,000,000"):
        download(server.url, tmp_path / "part", patience=hasty)
    assert held(tmp_path) == 0


@pytest.mark.parametrize(
    ("start", "more", "reason"),
    [
        (PARTIAL + b"\r\n", b"x", "sends more than the 100 bytes requested"),
        (PARTIAL + b"Content-Length: 9000000000\r\n\r\n", b"x", "sends more than the 100 bytes"),
        (PARTIAL + CHUNKED, b"100\r\n" + b"x" * 256 + b"\r\n", "sends more than the 100 bytes"),
        (PARTIAL + CHUNKED + b"10;", b"x", "the connection broke|not HTTP"),
        (PARTIAL + CHUNKED, b"0", "the connection broke|not HTTP"),
        (PARTIAL + b"X: ", b"x", "not HTTP"),
        (PARTIAL, b"X: y\r\n", "not HTTP"),
        (b"HTTP/1.1 ", b"x", "not HTTP"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "not HTTP"),
        (b"", b"\0", "not HTTP"),
        (b"HTTP/1.1 404 ", b"x", "not HTTP"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", b"x", "HTTP 404 Not Found"),
        (OK + b"Content-Type: text/html\r\n\r\n", b"<p>", "a web page"),
        (OK + b"\r\n", b"x", "does not serve byte ranges"),
    ],
)
def test_answers_without_end_take_little_memory(
    raw_server, hasty: Patience, start: bytes, more: bytes, reason: str
) -> None:
    server = raw_server(without_end(start, more))
    read_range(f"{raw_server(PARTIAL + CHUNKED + CHUNK).url}/", 0, 100, hasty)  # with its imports
    tracemalloc.start()
    with pytest.raises(SourceError, match=reason) as caught:
        read_range(server.url, 0, 100, hasty)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4_000_000
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


CHUNK = b"64\r\n" + b"x" * 100 + b"\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("start", "content", "reason"),
    [
        (OK + b"Content-Length: 1000\r\n\r\n", b"x" * 1000, "fewer than 500 bytes a second"),
        (OK + CHUNKED, b"1\r\nx\r\n" * 1000, "fewer than 500 bytes a second"),
        (b"", OK + b"X: " + b"x" * 1000, "no whole answer within 0.1 s"),
        (OK, b"X: y\r\n" * 1000, "no whole answer within 0.1 s"),
    ],
)
def test_a_byte_now_and_then_is_not_waited_for(
    raw_server, tmp_path: Path, start: bytes, content: bytes, reason: str
) -> None:
    window = 0.1 if "second" in reason else 5.0
    patience = Patience(attempts=2, backoff=0.001, read=5, answer=0.1, window=window, slowest=500)
    server = raw_server(trickled(start, content, 0.01))
    started = time.monotonic()
    with pytest.raises(SourceError, match=reason):
        download(server.url, tmp_path / "part", patience=patience)
    assert time.monotonic() - started < 3
    assert len(server.asked) == 2


def test_a_server_as_slow_as_is_allowed_is_waited_for(raw_server, tmp_path: Path) -> None:
    content = b"x" * 40
    server = raw_server(trickled(OK + b"Content-Length: 40\r\n\r\n", content, 0.01))
    patience = Patience(attempts=1, backoff=0.001, window=0.1, slowest=5)
    download(server.url, tmp_path / "part", patience=patience)
    assert (tmp_path / "part").read_bytes() == content


@pytest.mark.parametrize("start", [b"", OK + b"Content-Length: 1000\r\n\r\n"])
def test_silence_is_not_waited_for(raw_server, tmp_path: Path, start: bytes) -> None:
    """Neither the headers' time nor the window of the rate is over."""

    def speak(send: Send, request: str) -> None:
        send(start)
        time.sleep(1)

    patience = Patience(attempts=1, backoff=0.001, read=0.1, answer=60, window=60)
    with pytest.raises(SourceError, match="timed out"):
        download(raw_server(speak).url, tmp_path / "part", patience=patience)


@pytest.mark.parametrize("broken", [False, True])
def test_all_attempts_together_have_a_time(
    raw_server, tmp_path: Path, hasty: Patience, broken: bool
) -> None:
    """The server is fast enough but never ends, or requests one wait after the other."""

    def speak(send: Send, request: str) -> None:
        if broken:
            send(b"HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n")
            return
        send(OK + b"\r\n")
        for _ in range(200):
            time.sleep(0.02)
            if not send(b"x" * 5000):
                return

    patience = replace(hasty, total=0.3, longest=0.2)
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"HTTP 503 Busy" if broken else r"took longer than 0.3"):
        download(raw_server(speak).url, tmp_path / "part", patience=patience)
    assert time.monotonic() - started < 2


def test_a_slow_server_that_becomes_fast_is_gone_on_with(raw_server, tmp_path: Path) -> None:
    content = bytes(range(200)) * 100

    def speak(send: Send, request: str) -> None:
        head = f"Content-Length: {len(content)}\r\n\r\n".encode()
        if len(server.asked) == 1:
            trickled(OK + head, content[:100], 0.01)(send, request)
        else:
            send(OK + head + content)

    server = raw_server(speak)
    patience = Patience(backoff=0.001, window=0.2, slowest=1000)
    download(server.url, tmp_path / "part", patience=patience)
    assert (tmp_path / "part").read_bytes() == content
    assert len(server.asked) == 2


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("speak", "reason"),
    [
        (without_end(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), "not HTTP|no whole answer"),
        (trickled(b"", OK + b"X: y\r\n" * 1000, 0.01), "no whole answer within 0.1 s"),
    ],
)
def test_proxies_are_watched_too(
    raw_server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    speak: Callable[[Send, str], None],
    reason: str,
) -> None:
    proxy = raw_server(speak)
    monkeypatch.setenv(f"{scheme}_proxy", proxy.url)
    patience = Patience(attempts=2, unreachable=1, backoff=0.001, answer=0.1)
    started = time.monotonic()
    with pytest.raises(SourceError, match=reason):
        download(f"{scheme}://weights.invalid/w.pth", tmp_path / "part", patience=patience)
    assert time.monotonic() - started < 3
    assert proxy.sent < 20_000_000
    assert proxy.asked[0].startswith("CONNECT" if scheme == "https" else "GET")


def test_a_handshake_that_never_ends_is_not_waited_for(raw_server, tmp_path: Path) -> None:
    """A TLS record of 16 kB whose bytes come one by one."""
    server = raw_server(trickled(b"\x16\x03\x03\x40\x00", b"\x02" * 1000, 0.01))
    url = server.url.replace("http", "https")
    started = time.monotonic()
    with pytest.raises(SourceError, match="timed out"):
        download(url, tmp_path / "part", patience=Patience(attempts=2, connect=0.2, backoff=0.01))
    assert time.monotonic() - started < 3
