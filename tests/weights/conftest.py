"""A real HTTP server that misbehaves by a script."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from nr3d.weights.http import Patience

PAGES = {
    "html": b"<!DOCTYPE html><html><head><title>Moved &amp; gone</title></head></html>",
    "quota": b"\n<html><title>Google Drive - Quota exceeded</title>Too many users</html>",
    "login": b'<HTML><title>Portal</title><input type="password"></HTML>',
}


class Server:
    """Files at paths, and what to do with the coming requests.

    ``script`` has a word for each coming request, the last one for all others: ``good``; ``half``
    and ``stall`` send half of what is requested and then close or send nothing more; ``drop``
    closes without an answer; ``html``, ``quota`` and ``login`` send a page, with ``-octet`` as
    application/octet-stream; ``noranges``; ``other`` sends other bytes; ``slow``; ``truncated``
    says the length of what it cut short; a number is a status.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.script = ["good"]
        self.tag = '"1"'
        self.headers: dict[str, str] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.sent = 0
        self.let_go = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.let_go.set()
        self.http.shutdown()
        self.http.server_close()

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        self.requests.append((to.path, to.headers.get("Range")))
        word = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        # A proxy is asked with the whole address.
        body = self.files.get(re.sub(r"^http://[^/]*", "", to.path).split("?")[0])
        page = word.removesuffix("-octet")
        if word == "drop":
            to.close_connection = True
            return
        if word.isdigit() or body is None:
            to.send_response(int(word) if word.isdigit() else 404)
            for name, value in self.headers.items():
                to.send_header(name, value)
            to.send_header("Content-Length", "0")
            to.end_headers()
            return
        if page in PAGES:
            to.send_response(200)
            kind = "application/octet-stream" if word.endswith("-octet") else "text/html"
            to.send_header("Content-Type", f"{kind}; charset=utf-8")
            to.send_header("Content-Length", str(len(PAGES[page])))
            to.end_headers()
            to.wfile.write(PAGES[page])
            return
        if word == "other":
            body = bytes(255 - byte for byte in body)
        total, first = len(body), 0
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", to.headers.get("Range", ""))
        fresh = to.headers.get("If-Range") in (None, self.tag)
        if asked and fresh and word != "noranges":
            if asked[1]:
                first, last = int(asked[1]), int(asked[2] or total - 1)
            else:
                first, last = max(0, total - int(asked[2])), total - 1
            if first >= total:
                to.send_response(416)
                to.send_header("Content-Range", f"bytes */{total}")
                to.send_header("Content-Length", "0")
                to.end_headers()
                return
            body = body[first : last + 1]
            to.send_response(206)
            to.send_header("Content-Range", f"bytes {first}-{first + len(body) - 1}/{total}")
        else:
            to.send_response(200)
        if self.tag:
            to.send_header("ETag", self.tag)
        to.send_header("Content-Type", "application/octet-stream")
        half = body[: len(body) // 2]
        to.send_header("Content-Length", str(len(half if word == "truncated" else body)))
        to.end_headers()
        if word == "slow":
            for start in range(0, len(body), 4096):
                to.wfile.write(body[start : start + 4096])
                time.sleep(0.01)
            return
        short = word in ("half", "stall", "truncated")
        self.sent += len(half if short else body)  # before the client can see the last of it
        to.wfile.write(half if short else body)
        if word == "stall":
            to.wfile.flush()
            self.let_go.wait(20)
        to.close_connection = True


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


class RawServer:
    """Sends bytes as they are, good HTTP or not.

    ``speak`` is called for each request with a function that sends, and says whether somebody
    still listens, and with the request's first line.
    """

    def __init__(self, speak: Callable[[Callable[[bytes], bool], str], None]) -> None:
        self.speak, self.asked, self.sent = speak, list[str](), 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        def send(data: bytes) -> bool:
            try:
                connection.sendall(data)
            except OSError:
                return False
            self.sent += len(data)
            return True

        with connection:
            request = connection.recv(65536).decode("latin-1")
            self.asked.append(request.split("\r\n")[0])
            self.speak(send, self.asked[-1])


@pytest.fixture
def raw_server() -> Iterator[Callable[..., RawServer]]:
    """Return a function that makes servers, from bytes or a function as of RawServer."""
    made = []

    def make(answer: bytes | Callable[[Callable[[bytes], bool], str], None]) -> RawServer:
        speak = (lambda send, _: send(answer)) if isinstance(answer, bytes) else answer
        made.append(RawServer(speak))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for server in made:
        server.listener.close()


@pytest.fixture
def hasty() -> Patience:
    """As patient as users' downloads in attempts, but not in seconds."""
    return Patience(
        backoff=0.001, longest=0.05, connect=5, read=0.3, answer=1, window=0.4, total=20
    )
