"""Files over HTTP: broken transfers are resumed, and web pages are not mistaken for files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from nr3d.weights.answers import length_of, start_of, total_of, validator_of
from nr3d.weights.exchange import answer_to, blocks_of, session
from nr3d.weights.pages import looks_like_html, page_of
from nr3d.weights.parts import (
    MOST_BYTES,
    check_room,
    forget,
    forget_notes,
    recall,
    remember,
    size_of,
    storing,
)
from nr3d.weights.patience import PATIENCE, PageError, Patience, SourceError, TransientError

__all__ = [
    "PATIENCE",
    "Patience",
    "SourceError",
    "download",
    "read_page",
    "read_range",
    "read_span",
]

T = TypeVar("T")

_MOST_ATTEMPTS = 50
"""Maximum number of transfers of one file, even if each makes some progress."""


def download(
    url: str,
    part: Path,
    *,
    label: str = "",
    span: tuple[int, int] | None = None,
    size: int | None = None,
    patience: Patience = PATIENCE,
) -> None:
    """Download a file, or a span of its bytes, resuming from what ``part`` already holds.

    Args:
        url: address of the file, http or https.
        part: path to write to. Whatever happens, a later call can resume from its content.
        label: text beside the progress bar.
        span: position of the first byte and number of bytes; None for the whole file.
        size: size of the whole file in bytes, if known. It is an error if the server states or
            sends another size.
        patience: limits on attempts, time and rate.

    Raises:
        SourceError: if the server does not provide the file.
        WeightsError: if the disk is full or the folder cannot be written.
    """
    with storing(part):
        part.parent.mkdir(parents=True, exist_ok=True)
        wanted = size if span is None else span[1]
        if wanted is not None:
            check_room(part, wanted - size_of(part))
    with (
        session(patience) as opened,
        tqdm(desc=label, unit="B", unit_scale=True, leave=False, disable=None) as bar,
    ):
        _transfer(
            opened,
            lambda: _attempt(opened, url, part, span, size, bar),
            lambda: size_of(part),
        )


def read_range(url: str, start: int, length: int, patience: Patience = PATIENCE) -> bytes:
    """Return a few bytes of a remote file.

    Args:
        url: address of the file, http or https.
        start: position of the first byte.
        length: number of bytes, at least 1.
        patience: limits on attempts, time and rate.

    Raises:
        SourceError: if the server does not provide them, or does not serve byte ranges.
    """
    return read_span(url, start, length, patience)[0]


def read_span(
    url: str, start: int, length: int, patience: Patience = PATIENCE
) -> tuple[bytes, int | None]:
    """Return a few bytes of a remote file, and the size of the whole file.

    Args:
        url: address of the file, http or https.
        start: position of the first byte.
        length: number of bytes, at least 1.
        patience: limits on attempts, time and rate.

    Returns:
        tuple: the bytes, and the file's size in bytes; None if the server does not state it.

    Raises:
        SourceError: if the server does not provide them, or does not serve byte ranges.
    """
    asked = {"Range": f"bytes={start}-{start + length - 1}"}

    def attempt(opened: Any) -> tuple[bytes, int | None]:
        content = bytearray()
        with answer_to(opened, url, asked) as got:
            if got.status_code != 206:
                raise SourceError("the server does not serve byte ranges")
            if start_of(got) != start:
                raise TransientError("sends another range than was requested")
            for block in blocks_of(opened, got):
                content += block
                if len(content) > length:
                    raise SourceError(f"sends more than the {length:,} bytes requested")
            if len(content) < length:
                raise TransientError(f"sent {len(content):,} of {length:,} bytes")
            return bytes(content), total_of(got)

    with session(patience) as opened:
        return _transfer(opened, lambda: attempt(opened), lambda: 0)


def read_page(url: str, patience: Patience = PATIENCE) -> bytes | None:
    """Return the start of the web page at an address; None if something else is there.

    Args:
        url: address, http or https.
        patience: limits on attempts, time and rate.

    Raises:
        SourceError: if the server does not answer.
    """

    def attempt(opened: Any) -> None:
        with answer_to(opened, url, {}) as got:
            block = next(blocks_of(opened, got), b"")
        if looks_like_html(block):
            raise PageError(page_of(block), block)

    with session(patience) as opened:
        try:
            _transfer(opened, lambda: attempt(opened), lambda: 0)
        except PageError as page:
            return page.content
    return None


def _transfer(opened: Any, attempt: Callable[[], T], received: Callable[[], int]) -> T:
    """Repeat a transfer until it is complete or its session's retries are used up.

    Args:
        opened: session.
        attempt: transfer; raises :class:`TransientError` if another attempt may succeed.
        received: function that returns the number of bytes received so far.

    Raises:
        SourceError: with the reason of the last attempt.
    """
    most, reason = received(), ""
    for _ in range(_MOST_ATTEMPTS):
        try:
            return attempt()
        except TransientError as error:
            have, reason = received(), str(error)
            opened.wait_after(error, progress=have > most and not error.slow)
            most = max(most, have)
    raise SourceError(reason)


def _attempt(
    opened: Any, url: str, part: Path, span: tuple[int, int] | None, size: int | None, bar: Any
) -> None:
    have, remembered = size_of(part), recall(part)
    first, length = span or (0, size)
    if length is not None and have > length:
        forget(part)
        have, remembered = 0, {}
    if have == length:
        forget_notes(part)
        return
    headers = {}
    if have or span is not None:
        last = "" if span is None else str(first + span[1] - 1)
        headers["Range"] = f"bytes={first + have}-{last}"
        if have and remembered.get("validator"):
            headers["If-Range"] = remembered["validator"]
    with answer_to(opened, url, headers) as got:
        if got.status_code == 416:
            if span is None and have and have == total_of(got):
                forget_notes(part)
                return
            forget(part)
            raise TransientError("the server has no such bytes (HTTP 416)")
        ranged = got.status_code == 206
        total = total_of(got) if ranged else length_of(got)
        if not ranged and span is not None:
            if have == 0:
                raise SourceError("the server does not serve byte ranges")
            forget(part)
            raise TransientError("the file has changed on the server")
        if ranged and start_of(got) != first + have:
            forget(part)
            raise TransientError("sends another range than was requested")
        if ranged and have and remembered.get("total", total) != total:
            forget(part)
            raise TransientError("the file has changed on the server")
        if span is None and None not in (size, total) and size != total:
            raise SourceError(f"has {total:,} bytes, {size:,} expected")
        if not ranged:
            have = 0  # the file has changed, or the server does not serve ranges
        wanted = total if length is None else length
        if wanted is not None and wanted > MOST_BYTES and length is None:
            raise SourceError(f"has {wanted:,} bytes, more than the {MOST_BYTES:,} of any weights")
        with storing(part):
            check_room(part, (wanted or 0) - have)
        bar.reset(total=wanted)
        bar.update(have)
        have = _write(opened, got, part, have, wanted, bar, total, sniff=first == 0)
        if wanted is not None and have < wanted:
            raise TransientError(f"broke off after {have:,} of {wanted:,} bytes")
        forget_notes(part)


def _write(
    opened: Any,
    got: Any,
    part: Path,
    have: int,
    wanted: int | None,
    bar: Any,
    total: int | None,
    *,
    sniff: bool,
) -> int:
    """Append a response's body to the part, after ``have`` bytes, and return the new size."""
    most = MOST_BYTES if wanted is None else wanted
    blocks = blocks_of(opened, got)
    block = next(blocks, b"")
    if sniff and have == 0 and looks_like_html(block):
        raise PageError(page_of(block), block)
    with storing(part):
        if have == 0:
            forget(part)
            remember(part, validator_of(got), total)
        with part.open("ab") as file:
            while block:
                if have + len(block) > most:
                    forget(part)
                    raise SourceError(f"sends more than {most:,} bytes")
                file.write(block)
                file.flush()
                have += len(block)
                bar.update(len(block))
                block = next(blocks, b"")
    return have
