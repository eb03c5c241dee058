"""Servers of weights that answer damaged or hostile HTTP, and zip archives that are damaged.

Each input is one call of nr3d to a server in this process, whose answers are damaged in up to three
ways, or which serves a damaged archive correctly. The bytes must be the right ones wherever a hash,
a CRC-32 or a size can reveal others; the time, the bytes on the disk and the length of the message
are limited.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import resource
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fuzzing import RIGHT, UNCHECKED, WrongError, damaged, refusal
from nr3d.errors import WeightsError
from nr3d.weights import Source, WeightsEntry, fetch, http
from nr3d.weights.archive import download_member
from nr3d.weights.http import Patience, SourceError, download, read_range

SECONDS = 5.0
MEBIBYTES = 64

_PATIENCE = Patience(2, 2, 0.0005, 0.002, 1.0, 0.1, 0.03, 1e5, 0.05, 1.0)
_LARGEST = 300_000
"""Greatest size of a file on the disk, and of a download of unknown size, in bytes."""
_ENDLESS = 1_000_000
_MEMBER = "weights/w.pth"
_NUMBERS = (
    "²",
    "-1",
    "1e9",
    "0",
    "+7",
    "1_0",
    "",
    "9" * 30,
    "9" * 5000,
    str(2**63),
    "7, 7",
    "7, 8",
)
_TARGETS = (
    "/",
    "/w",
    "//",
    "http://[::1",
    "file:///etc/passwd",
    "ftp://a/b",
    "\x1b[2J",
    "http://",
    "?x",
)
_STATUSES = (
    100,
    101,
    199,
    201,
    204,
    205,
    206,
    300,
    302,
    304,
    400,
    404,
    416,
    429,
    500,
    503,
    600,
    999,
)


@dataclass
class Answer:
    """The parts of an HTTP answer."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes
    after: list[Callable[[bytes], bytes]] = field(default_factory=list)
    repeated: bytes = b""
    pauses: int = 0

    def set(self, name: str, value: str) -> None:
        """Set or replace a header."""
        self.headers = [h for h in self.headers if h[0].lower() != name.lower()] + [(name, value)]


class Server:
    """HTTP server with one file at every path, whose answers are damaged if ``seed`` is set."""

    def __init__(self) -> None:
        self.content, self.seed, self.asked = b"", -1, 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            with connection:
                connection.settimeout(0.2)
                try:
                    self._answer(connection)
                except OSError:
                    continue  # the client has gone

    def _answer(self, connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            block = connection.recv(65536)
            if not block:
                return
            request += block
        self.asked += 1
        answer = self._honest(request.decode("latin-1"))
        if self.seed >= 0:
            rng = np.random.default_rng([self.seed, self.asked])
            for _ in range(int(rng.integers(0, 4))):
                _HARMS[int(rng.integers(len(_HARMS)))](answer, rng)
        lines = [answer.status, *(f"{name}: {value}" for name, value in answer.headers), "", ""]
        data = "\r\n".join(lines).encode("latin-1", "replace") + answer.body
        for change in answer.after:
            data = change(data)
        line, end, rest = data.partition(b"\n")
        # refusal() would take brackets in the status line for an empty reason.
        data = line.replace(b"(", b"<") + end + rest
        pieces = answer.pauses + 1
        for piece in range(pieces):
            connection.sendall(
                data[piece * len(data) // pieces : (piece + 1) * len(data) // pieces]
            )
            if answer.pauses:
                time.sleep(0.004)
        sent = 0
        while answer.repeated and sent < _ENDLESS:
            connection.sendall(answer.repeated)
            sent += len(answer.repeated)

    def _honest(self, request: str) -> Answer:
        content, total = self.content, len(self.content)
        asked = re.search(r"^Range: bytes=(\d+)-(\d*)", request, re.MULTILINE)
        headers = [("ETag", '"1"'), ("Content-Type", "application/octet-stream")]
        status = "HTTP/1.1 200 OK"
        if asked:
            first, last = int(asked[1]), min(int(asked[2] or total), total - 1)
            content = content[first : last + 1]
            if first >= total:
                return Answer("HTTP/1.1 416 No", [("Content-Range", f"bytes */{total}")], b"")
            status = "HTTP/1.1 206 Partial Content"
            headers.append(("Content-Range", f"bytes {first}-{last}/{total}"))
        headers.append(("Content-Length", str(len(content))))
        return Answer(status, headers, content)


# Harms


def _pick(items: Sequence[str], rng: np.random.Generator) -> str:
    return items[int(rng.integers(len(items)))]


def _other_status(answer: Answer, rng: np.random.Generator) -> None:
    number = int(_STATUSES[int(rng.integers(len(_STATUSES)))])
    answer.status = f"HTTP/1.{rng.integers(2)} {number} {_pick(('No', '', 'x' * 999), rng)}"


def _damaged_status(answer: Answer, rng: np.random.Generator) -> None:
    answer.status = damaged(answer.status.encode(), rng).decode("latin-1")


def _damaged_header(answer: Answer, rng: np.random.Generator) -> None:
    if answer.headers:
        place = int(rng.integers(len(answer.headers)))
        name, value = answer.headers[place]
        line = damaged(f"{name}: {value}".encode("latin-1", "replace"), rng).decode("latin-1")
        answer.headers[place] = (line.partition(":")[0], line.partition(":")[2])


def _odd_number(answer: Answer, rng: np.random.Generator) -> None:
    name, number = (
        _pick(("Content-Length", "Retry-After", "Content-Range"), rng),
        _pick(_NUMBERS, rng),
    )
    if name == "Content-Range":
        form = _pick(
            ("bytes {}-9/99", "bytes 0-{}/99", "bytes 0-9/{}", "bytes {0}-{0}/{0}", "{}"), rng
        )
        number = form.format(number)
    elif name == "Retry-After":
        answer.status = "HTTP/1.1 503 Busy"
    if rng.integers(2):
        answer.set(name, number)
    else:
        answer.headers.append((name, number))


def _other_headers(answer: Answer, rng: np.random.Generator) -> None:
    for name, value in (
        ("Content-Encoding", "gzip"),
        ("Transfer-Encoding", _pick(("chunked", "gzip, chunked", "x", "identity"), rng)),
        ("Content-Type", _pick(("text/html", "application/xhtml+xml", ""), rng)),
        ("ETag", _pick(("", 'W/"2"', '"2"', "\x00", "x" * 9999), rng)),
        ("Set-Cookie", _pick(("a=b; expires=x", "=" * 999, "a=b; Domain=.a; Max-Age=²"), rng)),
    ):
        if not rng.integers(3):
            answer.set(name, value)


def _flood(answer: Answer, rng: np.random.Generator) -> None:
    if rng.integers(2):
        answer.headers += [("X", "y" * int(rng.integers(100)))] * int(rng.integers(90, 200))
    else:
        answer.headers.append(("X", "y" * int(2 ** rng.uniform(10, 19))))


def _fewer_headers(answer: Answer, rng: np.random.Generator) -> None:
    answer.headers = [header for header in answer.headers if rng.integers(2)]


def _redirected(answer: Answer, rng: np.random.Generator) -> None:
    answer.status = f"HTTP/1.1 {rng.choice([301, 302, 303, 307, 308])} Go"
    answer.set("Location", _pick(_TARGETS, rng))


def _page(answer: Answer, rng: np.random.Generator) -> None:
    answer.body = b"<html><title>\x1b[31m" + b"x" * int(rng.integers(500)) + b"</title>quota"
    answer.set("Content-Length", str(len(answer.body)))


def _chunked(answer: Answer, rng: np.random.Generator) -> None:
    answer.set("Transfer-Encoding", "chunked")
    if rng.integers(2):
        answer.headers = [h for h in answer.headers if h[0] != "Content-Length"]
    half = len(answer.body) // 2
    framed = b"".join(
        b"%x\r\n%b\r\n" % (len(part), part) for part in (answer.body[:half], answer.body[half:])
    )
    framed += b"0\r\n\r\n"
    answer.body = damaged(framed, rng) if rng.integers(2) else framed


def _cut(answer: Answer, rng: np.random.Generator) -> None:
    place = rng.uniform()
    answer.after.append(lambda data: data[: int(len(data) * place)])


def _more(answer: Answer, rng: np.random.Generator) -> None:
    answer.body += rng.bytes(int(2 ** rng.uniform(0, 12)))


def _endless(answer: Answer, rng: np.random.Generator) -> None:
    line = _pick(("x", "\r\n", "X: y\r\n", "1\r\nx\r\n", "HTTP/1.1 100 Go\r\n\r\n", "0", "\0"), rng)
    answer.repeated = line.encode() * (16384 // len(line))
    if rng.integers(2):
        answer.headers = [h for h in answer.headers if h[0] != "Content-Length"]
    if rng.integers(2):
        place = rng.uniform()
        answer.after.append(lambda data: data[: int(len(data) * place)])


def _damaged_whole(answer: Answer, rng: np.random.Generator) -> None:
    state = int(rng.integers(1 << 40))
    answer.after.append(lambda data: damaged(data, np.random.default_rng(state)))


def _slow(answer: Answer, rng: np.random.Generator) -> None:
    answer.pauses = int(rng.integers(1, 4))


def _none(answer: Answer, rng: np.random.Generator) -> None:
    answer.after.append(lambda data: rng.bytes(int(rng.integers(100))))


_HARMS: Sequence[Callable[[Answer, np.random.Generator], None]] = (
    *(_other_status, _damaged_status, _damaged_header, _odd_number, _odd_number, _other_headers),
    *(_flood, _fewer_headers, _redirected, _page, _chunked, _chunked, _cut, _cut, _more, _endless),
    *(_endless, _damaged_whole, _damaged_whole, _slow, _none),
)


# Inputs


def make(folder: Path) -> Callable[[np.random.Generator], str]:
    """Start the server, and return the function that requests its file in one of five ways."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "NR3D_OFFLINE"):
        os.environ.pop(name, None)
    os.environ |= {"NR3D_HOME": str(folder / "home"), "TORCH_HOME": str(folder / "torch")}
    http.MOST_BYTES = _LARGEST  # type: ignore[attr-defined]
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * _LARGEST, 2 * _LARGEST))
    made = np.random.default_rng(0)
    truth = made.bytes(9000) + bytes(20_000)
    archives = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as target:
            target.writestr("weights/other.pth", made.bytes(80_000))
            target.writestr(_MEMBER, truth)
            target.writestr("weights/params.json", "{}")
        archives.append(buffer.getvalue())
    server, digest = Server(), hashlib.sha256(truth).hexdigest()

    def ask(rng: np.random.Generator) -> bytes:
        """Request the file, or a part of it, and return the bytes that were received."""
        way = int(rng.integers(5))
        part, size = folder / "part", len(truth) if rng.integers(2) else None
        if way < 3:
            server.content = truth
        if way == 0:
            start, length = int(rng.integers(20_000)), int(2 ** rng.uniform(0, 13))
            got = read_range(f"{server.url}/w", start, length, _PATIENCE)
            return truth if got == truth[start : start + length] else got
        if way == 1:
            if not rng.integers(3):
                part.write_bytes(truth[: int(rng.integers(len(truth)))])
            download(f"{server.url}/w", part, size=size, patience=_PATIENCE)
            return part.read_bytes()
        if way == 2:
            source = Source(url=f"{server.url}/w.pth")
            entry = WeightsEntry("nr3d_resnet18_ibn.x", (source,), sha256=digest, size=size)
            return checked(fetch(entry, patience=_PATIENCE).read_bytes())
        server.content = archives[int(rng.integers(2))]
        if way == 4:  # served correctly
            server.content, server.seed = damaged(server.content, rng), -1
        url = f"{server.url}/a.zip"
        path = download_member(url, "w.pth", part, size=size, patience=_PATIENCE)
        return checked(path.read_bytes())

    def checked(content: bytes) -> bytes:
        if content != truth:
            raise WrongError("wrong bytes passed a check")
        return content

    def attempt(rng: np.random.Generator) -> str:
        server.seed, server.asked = int(rng.integers(1 << 40)), 0
        started = time.monotonic()
        try:
            outcome = RIGHT if ask(rng) == truth else UNCHECKED
        except (SourceError, WeightsError) as error:
            message = str(error)
            if not message or len(message) > 1000 or not message.isprintable():
                raise WrongError(f"a message of {len(message)}: {message[:200]!r}") from error
            if "cannot be written" in message:
                raise WrongError(f"too many bytes on the disk: {message}") from error
            outcome = refusal(WeightsError(f"The weights: {message}"))
        took = time.monotonic() - started
        if took > _PATIENCE.total + 1:
            raise WrongError(f"took {took:.1f} s")
        _clear(folder)
        return outcome

    return attempt


def _clear(folder: Path) -> None:
    """Check and remove the files that an input left on the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            if path.stat().st_size > _LARGEST:
                raise WrongError(f"{path.name} has {path.stat().st_size:,} bytes")
            if path.name.endswith((".lock", ".unpacked")) and path.name != "part.unpacked":
                raise WrongError(f"{path.name} is left")
            path.unlink()
