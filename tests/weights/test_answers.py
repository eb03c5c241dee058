"""Headers, statuses and redirects of any kind: the file's bytes, or a reason in a short line."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import requests

from nr3d.weights.http import Patience, SourceError, download, read_range

CONTENT = bytes(range(256)) * 40
DIGITS = "9" * 5000


@pytest.fixture(autouse=True)
def _fresh(no_weights: object) -> None:
    """Without a proxy."""


def head(status: str, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@pytest.mark.parametrize(
    "value",
    ["²", "-1", "1e999", "inf", DIGITS, "Mon, 99 Foo 99999 25:61:61 GMT", "\x80", "x" * 999],
)
def test_a_wait_that_cannot_be_read_is_not_asked_for(
    raw_server, tmp_path: Path, hasty: Patience, value: str
) -> None:
    def speak(send: Callable[[bytes], bool], request: str) -> None:
        if len(server.asked) == 1:
            send(head("429 Busy", f"Retry-After: {value}", "Content-Length: 0"))
        else:
            send(head("200 OK", f"Content-Length: {len(CONTENT)}") + CONTENT)

    server = raw_server(speak)
    download(server.url, tmp_path / "part", patience=hasty)
    assert (tmp_path / "part").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "headers",
    [
        *(["Content-Length: ²"], ["Content-Length: -5"], [f"Content-Length: {DIGITS}"]),
        *(["Content-Length: 1_0"], ["Content-Length: +10"], ["Content-Length: 5, 10240"]),
        ["Content-Length: 5", "Content-Length: 10240"],
    ],
)
def test_a_length_that_is_none_is_no_http(
    raw_server, tmp_path: Path, hasty: Patience, headers: list[str]
) -> None:
    server = raw_server(head("200 OK", *headers) + CONTENT)
    with pytest.raises(SourceError, match="its answer is not HTTP") as caught:
        download(server.url, tmp_path / "part", patience=hasty)
    assert len(str(caught.value)) < 200
    assert len(server.asked) == 1


@pytest.mark.parametrize("value", ["10240", "10240, 10240", "", "10240\r\nContent-Length: 10240"])
def test_a_length_that_is_one(raw_server, tmp_path: Path, hasty: Patience, value: str) -> None:
    server = raw_server(head("200 OK", f"Content-Length: {value}") + CONTENT)
    download(server.url, tmp_path / "part", patience=hasty)
    assert (tmp_path / "part").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "value",
    [
        *("", "bytes", "bytes */10240", "bytes 0-9/²", "bytes ²-9/10", "lines 0-9/10240"),
        *(f"bytes {DIGITS}-{DIGITS}/{DIGITS}", "bytes -1-9/10240"),
        *("bytes 5-14/10240", "bytes 0-9/10240, bytes 0-9/10240"),
    ],
)
def test_another_range_is_refused(raw_server, tmp_path: Path, hasty: Patience, value: str) -> None:
    server = raw_server(
        head("206 Partial Content", f"Content-Range: {value}", "Content-Length: 10") + CONTENT[:10]
    )
    with pytest.raises(SourceError, match="sends another range than was requested"):
        read_range(server.url, 0, 10, hasty)
    (tmp_path / "part").write_bytes(CONTENT[:5])
    with pytest.raises(SourceError):
        download(server.url, tmp_path / "part", patience=hasty, size=len(CONTENT))


def test_a_size_that_is_not_stated_is_not_needed(raw_server, hasty: Patience) -> None:
    for size in ("*", DIGITS):
        server = raw_server(head("206 Some", f"Content-Range: bytes 0-9/{size}") + CONTENT[:10])
        assert read_range(server.url, 0, 10, hasty) == CONTENT[:10]


@pytest.mark.parametrize("status", ["101 Go", "204 Empty", "205 Reset", "304 Same", "300 Many"])
def test_a_status_without_a_file(raw_server, tmp_path: Path, hasty: Patience, status: str) -> None:
    server = raw_server(head(status))
    with pytest.raises(SourceError, match=f"HTTP {status}"):
        download(server.url, tmp_path / "part", patience=hasty)
    assert len(server.asked) == 1
    assert list(tmp_path.glob("part*")) == []


@pytest.mark.parametrize(
    "answer",
    [
        *(
            b"HTTP/1.1 abc OK\r\n\r\n",
            b"HTTP/1.1 99 OK\r\n\r\n",
            b"HELLO\r\n\r\n",
            b"SSH-2.0-x\r\n",
        ),
        *(b"HTTP/9.9 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"),
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
)
def test_what_is_not_http_is_asked_for_once(
    raw_server, tmp_path: Path, hasty: Patience, answer: bytes
) -> None:
    server = raw_server(answer)
    with pytest.raises(SourceError, match="its answer is not HTTP") as caught:
        download(server.url, tmp_path / "part", patience=hasty)
    assert len(str(caught.value)) < 200
    assert len(server.asked) == 1


@pytest.mark.parametrize("header", ["Content-Encoding: gzip", "Content-Encoding: identity, br"])
def test_a_compressed_file_is_refused(
    raw_server, tmp_path: Path, hasty: Patience, header: str
) -> None:
    server = raw_server(head("200 OK", header, "Content-Length: 99") + CONTENT)
    with pytest.raises(SourceError, match=r"sends the file compressed \((gzip|identity, br)\)"):
        download(server.url, tmp_path / "part", patience=hasty)


@pytest.mark.parametrize("kind", ["text/html", "TEXT/HTML; charset=x", "application/xhtml+xml"])
def test_what_a_server_calls_a_page_is_one(
    raw_server, tmp_path: Path, hasty: Patience, kind: str
) -> None:
    server = raw_server(head("200 OK", f"Content-Type: {kind}", "Content-Length: 4") + b"<x/>")
    with pytest.raises(SourceError, match="answered with a web page"):
        download(server.url, tmp_path / "part", patience=hasty)
    assert list(tmp_path.glob("part*")) == []


def test_a_servers_words_are_short_and_without_control_characters(
    raw_server, tmp_path: Path, hasty: Patience
) -> None:
    bad = "\x1b[31m\x07" + "long " * 1000
    for answer in (
        head(f"404 {bad}"),
        head("302 Go", f"Location: gopher://{bad}"),
        head("200 OK", f"Content-Encoding: {bad}"),
        head("200 OK", "Content-Type: text/html") + f"<title>{bad}</title>".encode(),
        head("200 OK", "Content-Type: text/html") + b"<title>&#27;[31m&#x202e;</title>",
    ):
        with pytest.raises(SourceError) as caught:
            download(raw_server(answer).url, tmp_path / "part", patience=hasty)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 200


# Redirects


def redirect(target: str, body: bytes = b"") -> bytes:
    return head("302 Found", f"Location: {target}", f"Content-Length: {len(body)}") + body


def test_another_place_is_followed_and_its_bodies_are_not_read(
    server, raw_server, tmp_path: Path, hasty: Patience
) -> None:
    server.files["/w.pth"] = CONTENT
    there = server.url.replace("127.0.0.1", "localhost")
    for target in (f"{there}/w.pth", f"{there}/./x/../w.pth#top"):

        def speak(send: Callable[[bytes], bool], request: str, target: str = target) -> None:
            send(head("301 Moved", f"Location: {target}"))
            while send(b"x" * 65536):
                pass

        here = raw_server(speak)
        download(here.url, tmp_path / "part", patience=hasty)
        assert (tmp_path / "part").read_bytes() == CONTENT
        (tmp_path / "part").unlink()


def test_redirects_without_end_are_named_at_once(
    raw_server, tmp_path: Path, hasty: Patience
) -> None:
    server = raw_server(redirect("/again"))
    started = time.monotonic()
    with pytest.raises(SourceError, match="redirects more than 10 times"):
        download(server.url, tmp_path / "part", patience=Patience())
    assert len(server.asked) == 11
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "target",
    [
        *("file:///etc/passwd", "ftp://127.0.0.1/w.pth", "http://[::1", "data:,x"),
        *("http://a:99999999/", "http://a:b/", "javascript:1", "http://[z]/"),
    ],
)
def test_a_redirect_to_no_address_of_the_web_is_refused(
    raw_server, tmp_path: Path, hasty: Patience, target: str
) -> None:
    server = raw_server(redirect(target))
    with pytest.raises(SourceError, match=r"redirects to \S+, not an address of http\(s\)"):
        download(server.url, tmp_path / "part", patience=hasty)
    assert len(server.asked) == 1


def test_a_redirect_from_https_to_http_is_refused(
    server, tmp_path: Path, hasty: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host of https answers from this machine, in the clear."""
    original = requests.adapters.HTTPAdapter.send

    def send(self, request: requests.PreparedRequest, **options):
        parts = urlsplit(request.url)
        if parts.scheme == "https":
            request.url = urlunsplit(("http", server.url[7:], parts.path, parts.query, ""))
        return original(self, request, **options)

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    server.files["/w.pth"] = CONTENT
    server.script, server.headers = ["302", "good"], {"Location": "https://b.example/w.pth"}
    download("https://a.example/w.pth", tmp_path / "part", patience=hasty)
    server.script, server.headers = ["302"], {"Location": f"{server.url}/w.pth"}
    with pytest.raises(SourceError, match="redirects from https to http"):
        download("https://a.example/w.pth", tmp_path / "other", patience=hasty)


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1",
        "ftp://127.0.0.1/w",
        "w.pth",
        "http://",
        f"http://{'a' * 70}.b/",
        "http://a:b/",
    ],
)
def test_an_address_that_is_none_is_named_at_once(tmp_path: Path, url: str) -> None:
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"cannot be requested|cannot resolve") as caught:
        download(url, tmp_path / "part", patience=Patience(backoff=0.01))
    assert len(str(caught.value)) < 250
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_no_secure_connection_is_named_at_once(
    raw_server, tmp_path: Path, hasty: Patience, answer: bytes
) -> None:
    server = raw_server(answer)
    url = server.url.replace("http", "https")
    with pytest.raises(SourceError, match="no secure connection"):
        download(f"{url}/w.pth", tmp_path / "part", patience=hasty)
    assert len(server.asked) == 1
