"""What the headers of a server's answer state, read without trust."""

from __future__ import annotations

import email.utils
import re
import time
from typing import Any
from urllib.parse import urljoin, urlsplit

from nr3d.errors import printable
from nr3d.weights.patience import SourceError

BUSY = (408, 425, 429, 500, 502, 503, 504)
"""Statuses of servers that may answer otherwise a little later."""

_REDIRECTS = (301, 302, 303, 307, 308)


def status_of(got: Any) -> str:
    """Return an answer's status as a short text."""
    return printable(f"HTTP {got.status_code} {got.reason or ''}", 80)


def retry_after(got: Any) -> float | None:
    """Return the wait that the server asks for, in seconds; None if it asks for none.

    The header holds a number of seconds or a date. One that is neither asks for nothing.
    """
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
    """Return the length of an answer's body in bytes; None if it is not stated.

    Raises:
        SourceError: if what is stated is not a number, or several different ones.
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
    """Return the position in the file of an answer's first byte; None if it is not stated."""
    found = _content_range(got)
    return _number(found[1]) if found and found[1] else None


def total_of(got: Any) -> int | None:
    """Return the size in bytes of the file that an answer is a part of; None if not stated."""
    found = _content_range(got)
    return _number(found[2]) if found else None


def validator_of(got: Any) -> str:
    """Return what distinguishes this state of the file from others; empty if there is nothing."""
    tag = str(got.headers.get("ETag", ""))
    return tag if tag and not tag.startswith("W/") else str(got.headers.get("Last-Modified", ""))


def coding_of(got: Any) -> str | None:
    """Return the coding that an answer's body would have to be decoded from; None if plain."""
    for header, plain in (("Content-Encoding", ""), ("Transfer-Encoding", "chunked")):
        coding = got.headers.get(header, "").strip().lower()
        if coding not in ("identity", "", plain):
            return printable(coding, 40)
    return None


def target_of(got: Any, url: str) -> str | None:
    """Return the address that an answer redirects to; None if it does not redirect.

    Args:
        got: answer.
        url: address that it answers for.

    Raises:
        SourceError: if the target is not an address, or not one that may be followed.
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
