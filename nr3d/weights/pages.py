"""Web pages that a server sends instead of a file: recognised and named."""

from __future__ import annotations

import re
from html import unescape

from nr3d.errors import printable


def looks_like_html(head: bytes) -> bool:
    """Return whether a file is a web page.

    Args:
        head: first bytes of the file.
    """
    start = head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype html", b"<html", b"<head")) or (
        start.startswith(b"<?xml") and b"<html" in start
    )


def page_of(content: bytes) -> str:
    """Return what kind of page was sent instead of a file, with its title.

    Args:
        content: start of the page.
    """
    text = content.decode("utf-8", "replace")
    low = text.lower()
    title = _title(text, low)
    named = f" ({title!r})" if title else ""
    if "quota" in low or "too many users" in low:
        kind = "a quota page"
    elif (
        'type="password"' in low
        or "accounts.google.com" in low
        or re.search(r"\b(sign|log) ?in\b", low)
    ):
        kind = "a login page"
    else:
        kind = "a web page"
    return f"answered with {kind}{named} instead of the file"


def _title(text: str, low: str) -> str:
    start = low.find("<title")
    start = low.find(">", start) + 1 if start >= 0 else 0
    end = low.find("</title", start) if start else -1
    if end < 0 or len(low) != len(text):
        return ""
    return printable(unescape(text[start : min(end, start + 1000)]), 80)
