"""Bytes over HTTP: retried with patience, resumed where they stopped, never a web page."""

from __future__ import annotations

import email.utils
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tqdm import tqdm

from nr3d.errors import WeightsError
from nr3d.version import __version__
from nr3d.weights.pages import looks_like_html, page_of

T = TypeVar("T")

_BUSY = (408, 425, 429, 500, 502, 503, 504)
_BLOCK = 1 << 14
"""Bytes read at once; a connection that breaks loses fewer."""
_MOST_ATTEMPTS = 50


class SourceError(Exception):
    """Why a source does not give its file, in a few words; the next one is then tried."""


@dataclass(frozen=True)
class Patience:
    """How long a source is waited for.

    Args:
        attempts: in a row that gain nothing, before a source is given up.
        unreachable: the same, where no connection comes about.
        backoff: seconds before the second attempt; doubled for each further one.
        longest: seconds that a wait takes at most, also where the server asks for more.
        connect: seconds for a connection.
        read: seconds without a byte.
    """

    attempts: int = 5
    unreachable: int = 2
    backoff: float = 1.0
    longest: float = 60.0
    connect: float = 10.0
    read: float = 30.0


PATIENCE = Patience()


class AgainError(Exception):
    """An attempt failed in a way that may pass.

    Args:
        reason: in a few words.
        wait: seconds that the server asks for.
        reached: whether a server was reached at all.
    """

    def __init__(self, reason: str, wait: float | None = None, reached: bool = True) -> None:
        super().__init__(reason)
        self.wait = wait
        self.reached = reached


@contextmanager
def session() -> Iterator[Any]:
    """Open a session of requests, with the proxies of the environment."""
    import requests

    with requests.Session() as opened:
        opened.headers["User-Agent"] = f"nr3d/{__version__}"
        # Offsets count the bytes of the file, not those of a compressed transfer.
        opened.headers["Accept-Encoding"] = "identity"
        yield opened


def download(
    url: str,
    part: Path,
    *,
    label: str = "",
    span: tuple[int, int] | None = None,
    patience: Patience = PATIENCE,
) -> None:
    """Download a file, or a span of its bytes, going on with what ``part`` holds already.

    Args:
        url: http or https.
        part: where to; whatever happens, what it holds at the end can be gone on with.
        label: for the progress bar.
        span: first byte and number of bytes; None is the whole file.
        patience: how long to try.

    Raises:
        SourceError: if the server does not give the file.
        WeightsError: if the disk is full.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    with session() as opened, _bar(label) as bar:
        persist(
            lambda: _attempt(opened, url, part, span, patience, bar), lambda: _size(part), patience
        )


def read_range(url: str, start: int, length: int, patience: Patience = PATIENCE) -> bytes:
    """Give a few bytes of a remote file.

    Raises:
        SourceError: if the server does not give them, or serves no ranges.
    """

    def attempt(opened: Any) -> bytes:
        with _get(opened, url, {"Range": f"bytes={start}-{start + length - 1}"}, patience) as got:
            if got.status_code != 206:
                raise SourceError("the server does not serve byte ranges")
            with network():
                content: bytes = got.content
        if len(content) != length:
            raise AgainError(f"gave {len(content)} of {length} bytes")
        return content

    with session() as opened:
        content: bytes = persist(lambda: attempt(opened), lambda: 0, patience)
    return content


def persist(attempt: Callable[[], T], gained: Callable[[], int], patience: Patience) -> T:
    """Try until it works, or too often in a row without a gain.

    Args:
        attempt: what to try; raises :class:`AgainError` for what may pass.
        gained: bytes that are here so far.
        patience: how long to try.

    Raises:
        SourceError: with the reason of the last attempt.
    """
    fruitless, reason = 0, ""
    for _ in range(_MOST_ATTEMPTS):
        before = gained()
        try:
            return attempt()
        except AgainError as error:
            reason, wait = str(error), error.wait
            fruitless = 0 if gained() > before else fruitless + 1
            if fruitless >= (patience.attempts if error.reached else patience.unreachable):
                break
        pause = patience.backoff * 2 ** max(fruitless - 1, 0) if wait is None else wait
        time.sleep(min(pause, patience.longest))
    raise SourceError(reason)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _attempt(
    opened: Any,
    url: str,
    part: Path,
    span: tuple[int, int] | None,
    patience: Patience,
    bar: Any,
) -> None:
    have, remembered = _size(part), _recall(part)
    first, length = span or (0, None)
    if length is not None and have >= length:
        if have > length:
            _forget(part)
            raise AgainError("gave more bytes than there are")
        return
    headers = {}
    if have or span is not None:
        last = "" if length is None else str(first + length - 1)
        headers["Range"] = f"bytes={first + have}-{last}"
        if have and remembered.get("validator"):
            headers["If-Range"] = remembered["validator"]
    with _get(opened, url, headers, patience) as got:
        if got.status_code == 416:
            size = _total(got)
            if size is not None and have == size and span is None:
                return
            _forget(part)
            raise AgainError("the server has no such bytes (HTTP 416)")
        ranged = got.status_code == 206
        if not ranged:
            if span is not None and have == 0:
                raise SourceError("the server does not serve byte ranges")
            if have:
                _forget(part)  # it is another file now, or ranges are not served
                have = 0
            if span is not None:
                raise AgainError("the file has changed on the server")
        elif _start(got) != first + have or remembered.get("total", _total(got)) != _total(got):
            _forget(part)
            raise AgainError("the file has changed on the server")
        total = _total(got) if ranged else _length(got)
        wanted = length if length is not None else total
        if not have:
            _remember(part, got, total)
        _check_space(part, None if wanted is None else wanted - have)
        bar.reset(total=wanted)
        bar.update(have)
        have = _write(got, part, have, bar, sniff=first == 0)
        if wanted is not None and have > wanted:
            _forget(part)
            raise AgainError("gave more bytes than it said")
        if wanted is not None and have < wanted:
            raise AgainError(f"broke off after {have:,} of {wanted:,} bytes")
        _drop(_notes(part))


def _write(got: Any, part: Path, have: int, bar: Any, *, sniff: bool) -> int:
    """Append a response's body to the part; give the part's new size."""
    with part.open("ab" if have else "wb") as file:
        blocks = got.iter_content(_BLOCK)
        while True:
            with network():
                block = next(blocks, b"")
            if not block:
                return have
            if sniff and have == 0 and looks_like_html(block):
                file.close()
                _forget(part)
                raise SourceError(page_of(block))
            try:
                file.write(block)
                file.flush()
            except OSError as error:
                raise WeightsError(
                    f"{part} cannot be written ({error.strerror or error}): free some space and "
                    "run the command again, which goes on with that part."
                ) from error
            have += len(block)
            bar.update(len(block))


def _check_space(part: Path, needed: int | None) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed is not None and needed > free:
        raise WeightsError(
            f"{part.parent} has {free / 1e6:,.0f} MB free and the download needs "
            f"{needed / 1e6:,.0f} MB: free some space, or set NR3D_HOME to a larger disk."
        )


# Requests and what they answer


@contextmanager
def _get(opened: Any, url: str, headers: dict[str, str], patience: Patience) -> Iterator[Any]:
    """Ask for a URL; the body of a good answer is not read yet."""
    with network(url):
        got = opened.get(
            url, headers=headers, stream=True, timeout=(patience.connect, patience.read)
        )
    with got:
        if got.status_code in _BUSY:
            raise AgainError(_status(got), _retry_after(got))
        if got.status_code >= 400 and got.status_code != 416:
            raise SourceError(_status(got))
        kind = got.headers.get("Content-Type", "").lower()
        if got.status_code != 416 and ("text/html" in kind or "xhtml" in kind):
            with network():
                head = next(got.iter_content(1 << 16), b"")
            raise SourceError(page_of(head))
        encoding = got.headers.get("Content-Encoding", "identity").lower()
        if encoding not in ("identity", ""):
            raise SourceError(f"the server sends the file compressed ({encoding}), unasked")
        yield got


@contextmanager
def network(url: str = "") -> Iterator[None]:
    """Give a failure of the network in a few words, and whether to try again."""
    import requests
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (requests.exceptions.SSLError, requests.exceptions.InvalidURL) as error:
        raise SourceError(f"no secure connection ({_innermost(error)})") from error
    except requests.exceptions.HTTPError as error:
        answer: Any = error.response
        if answer.status_code in _BUSY:
            raise AgainError(_status(answer), _retry_after(answer)) from error
        raise SourceError(_status(answer)) from error
    except (requests.exceptions.RequestException, HTTPError) as error:
        text, host = str(error), urlsplit(url).hostname or "the server"
        if isinstance(error, requests.exceptions.ProxyError):
            raise AgainError(
                f"no connection to the proxy ({_innermost(error)})", None, False
            ) from (error)
        if "NameResolution" in text or "getaddrinfo" in text:
            raise AgainError(f"cannot resolve {host}", None, False) from error
        if "refused" in text:
            raise AgainError(f"connection refused by {host}", None, False) from error
        if "timed out" in text or isinstance(error, requests.exceptions.Timeout):
            raise AgainError("timed out", None, not isinstance(error, _connect_timeout())) from (
                error
            )
        if isinstance(error, requests.exceptions.ConnectionError) and url:
            reached = "Remote end closed" in text or "aborted" in text or "reset" in text
            raise AgainError(f"no connection ({_innermost(error)})", None, reached) from error
        raise AgainError("the connection broke") from error


def _connect_timeout() -> Any:
    import requests

    return requests.exceptions.ConnectTimeout


def _innermost(error: BaseException) -> str:
    """Give the first cause of an error without the addresses of objects."""
    seen: list[BaseException] = [error]
    while True:
        inner: Any = seen[-1].args[0] if seen[-1].args else None
        reason = getattr(inner, "reason", None) or inner
        if not isinstance(reason, BaseException) or reason in seen:
            break
        seen.append(reason)
    text = re.sub(r"<[^>]*>:? *", "", str(seen[-1])).strip("() ")
    return text[:100] or type(seen[-1]).__name__


def _status(got: Any) -> str:
    return f"HTTP {got.status_code} {got.reason or ''}".strip()


def _retry_after(got: Any) -> float | None:
    """Seconds that the server asks for, given as such or as a date."""
    value = got.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    return max(0.0, date.timestamp() - time.time())


def _content_range(got: Any) -> re.Match[str] | None:
    return re.fullmatch(
        r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", got.headers.get("Content-Range", "").strip()
    )


def _start(got: Any) -> int | None:
    found = _content_range(got)
    return int(found[1]) if found and found[1] else None


def _total(got: Any) -> int | None:
    found = _content_range(got)
    return int(found[2]) if found and found[2] != "*" else None


def _length(got: Any) -> int | None:
    value = got.headers.get("Content-Length", "")
    return int(value) if value.isdigit() else None


# What a part remembers of the file that it is a part of


def _notes(part: Path) -> Path:
    return part.with_name(f"{part.name}.from")


def _recall(part: Path) -> dict[str, Any]:
    try:
        notes: dict[str, Any] = json.loads(_notes(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return notes


def _remember(part: Path, got: Any, total: int | None) -> None:
    tag = got.headers.get("ETag", "")
    validator = tag if tag and not tag.startswith("W/") else got.headers.get("Last-Modified", "")
    notes = {"validator": validator} | ({} if total is None else {"total": total})
    _notes(part).write_text(json.dumps(notes), encoding="utf-8")


def _forget(part: Path) -> None:
    _drop(part)
    _drop(_notes(part))


def _drop(path: Path) -> None:
    path.unlink(missing_ok=True)


@contextmanager
def _bar(label: str) -> Iterator[Any]:
    with tqdm(desc=label, unit="B", unit_scale=True, leave=False, disable=None) as bar:
        yield bar
