"""What servers answer: their headers as numbers, and failures of the network in a few words."""

from __future__ import annotations

import email.utils
import http.client
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit

from nr3d.errors import Nr3dError, printable, reason_of
from nr3d.weights.patience import AgainError, SourceError

BUSY = (408, 425, 429, 500, 502, 503, 504)
_REDIRECTS = (301, 302, 303, 307, 308)


def status_of(got: Any) -> str:
    """Say an answer's status."""
    return printable(f"HTTP {got.status_code} {got.reason or ''}", 80)


def retry_after(got: Any) -> float | None:
    """Give the seconds that the server asks for, given as such or as a date."""
    value = got.headers.get("Retry-After", "").strip()
    seconds = _number(value)
    if seconds is not None:
        return float(seconds)
    try:
        date = email.utils.parsedate_to_datetime(value[:64]).timestamp()
    except Exception:  # noqa: BLE001 - what cannot be read asks for nothing
        return None
    return max(0.0, date - time.time())


def length_of(got: Any) -> int | None:
    """Give the bytes of an answer's body, as it states them.

    Raises:
        SourceError: if it states no number, or several.
    """
    stated = {text.strip() for text in got.headers.get("Content-Length", "").split(",")} - {""}
    if not stated or got.headers.get("Transfer-Encoding", ""):
        return None
    length = _number(stated.pop())
    if length is None or stated:
        header = printable(got.headers["Content-Length"], 40)
        raise SourceError(f"its answer is not HTTP (Content-Length {header})")
    return length


def start_of(got: Any) -> int | None:
    """Give the place of an answer's first byte in the file, as it states it."""
    found = _content_range(got)
    return _number(found[1]) if found and found[1] else None


def total_of(got: Any) -> int | None:
    """Give the bytes of the file of which an answer brings a part, as it states them."""
    found = _content_range(got)
    return _number(found[2]) if found else None


def validator_of(got: Any) -> str:
    """Give what tells this state of the file from others; empty if the server gives nothing."""
    tag = str(got.headers.get("ETag", ""))
    return tag if tag and not tag.startswith("W/") else str(got.headers.get("Last-Modified", ""))


def coding_of(got: Any) -> str | None:
    """Give the coding that an answer's body would have to be freed from; None if there is none."""
    for header, plain in (("Content-Encoding", ""), ("Transfer-Encoding", "chunked")):
        coding = got.headers.get(header, "").strip().lower()
        if coding not in ("identity", "", plain):
            return printable(coding, 40)
    return None


def target_of(got: Any, url: str) -> str | None:
    """Give the address that an answer redirects to; None if it does not.

    Raises:
        SourceError: if it is no address, or not one that is followed.
    """
    if got.status_code not in _REDIRECTS or "Location" not in got.headers:
        return None
    location = str(got.headers["Location"]).encode("latin-1", "replace").decode("utf-8", "replace")
    try:
        target: str = urljoin(url, location)
        parts, scheme = urlsplit(target), urlsplit(url).scheme.lower()
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.scheme not in ("http", "https"):
        raise SourceError(f"redirects to {printable(location, 80)}, not an address of http(s)")
    if scheme == "https" and parts.scheme == "http":
        raise SourceError(f"redirects from https to http ({printable(location, 80)})")
    return target


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def _content_range(got: Any) -> re.Match[str] | None:
    value = got.headers.get("Content-Range", "").strip()
    return re.fullmatch(r"bytes (?:([0-9]+)-[0-9]+|\*)/([0-9]+|\*)", value)


# Failures


@contextmanager
def network(url: str, watch: Any) -> Iterator[None]:
    """Give a failure of the network in a few words, and whether to try again.

    Args:
        url: what is asked for; empty while an answer's body is read.
        watch: of the session, which knows why it stopped.

    Raises:
        SourceError, AgainError: for whatever the client library raises.
    """
    try:
        yield
    except (SourceError, AgainError, Nr3dError):
        raise
    except Exception as error:
        raise (watch.stopped or _verdict(error, url)) from error


def _verdict(error: Exception, url: str) -> SourceError | AgainError:
    import requests.exceptions as of_requests
    import urllib3.exceptions as of_urllib3

    causes = _causes(error)

    def due_to(*types: type[BaseException]) -> bool:
        return any(isinstance(cause, types) for cause in causes)

    detail = _detail(causes[-1])
    if isinstance(error, of_requests.SSLError) or due_to(ssl.SSLCertVerificationError):
        return SourceError(f"no secure connection ({detail})")
    if isinstance(error, of_requests.ProxyError):
        return AgainError(f"no connection to the proxy ({detail})", reached=False)
    if due_to(socket.gaierror):
        return AgainError(f"cannot resolve {_host(url)}", reached=False)
    if due_to(ConnectionRefusedError):
        return AgainError(f"connection refused by {_host(url)}", reached=False)
    if due_to(TimeoutError, of_requests.Timeout, of_urllib3.TimeoutError):
        return AgainError("timed out", reached=not due_to(of_urllib3.ConnectTimeoutError))
    if due_to(of_urllib3.InvalidHeader) or any(
        isinstance(cause, http.client.HTTPException)
        and not isinstance(cause, http.client.RemoteDisconnected | http.client.IncompleteRead)
        for cause in causes
    ):
        return SourceError(f"its answer is not HTTP ({detail})")
    if isinstance(error, ValueError):  # addresses, in the many types that libraries have for them
        return SourceError(f"cannot be asked for ({reason_of(error)})")
    if url and isinstance(error, of_requests.ConnectionError):
        reached = not due_to(of_urllib3.NewConnectionError)
        return AgainError(f"no connection ({detail})", reached=reached)
    if isinstance(error, of_requests.RequestException | of_urllib3.HTTPError) or due_to(
        ConnectionError
    ):
        return AgainError("the connection broke")
    return SourceError(f"cannot be asked for ({reason_of(error)})")


def _causes(error: BaseException) -> list[BaseException]:
    """Give an error and what it came from, the first cause last."""
    found = [error]
    while len(found) < 20:
        last = found[-1]
        inner: list[Any] = [getattr(last, "reason", None), last.__cause__, *last.args]
        inner.append(None if last.__suppress_context__ else last.__context__)
        new = [c for c in inner if isinstance(c, BaseException) and c not in found]
        if not new:
            break
        found.append(new[0])
    return found


def _detail(error: BaseException) -> str:
    """Give an error's text without the addresses of objects."""
    text = re.sub(r"<[^>]*>:? *", "", reason_of(error)).strip("() ")
    return printable(text, 100) or type(error).__name__


def _host(url: str) -> str:
    try:
        return printable(urlsplit(url).hostname or "", 100) or "the server"
    except ValueError:
        return "the server"
