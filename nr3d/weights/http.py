"""Bytes over HTTP: retried with patience, resumed where they stopped, never a web page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from nr3d.weights.answers import (
    BUSY,
    coding_of,
    length_of,
    network,
    retry_after,
    start_of,
    status_of,
    target_of,
    total_of,
    validator_of,
)
from nr3d.weights.pages import looks_like_html, page_of
from nr3d.weights.parts import (
    MOST_BYTES,
    check_room,
    forget,
    forget_notes,
    recall,
    remember,
    size_of,
    writing,
)
from nr3d.weights.patience import PATIENCE, AgainError, PageError, Patience, SourceError, persist

__all__ = [
    "PATIENCE",
    "Patience",
    "SourceError",
    "download",
    "read_page",
    "read_range",
    "read_span",
]

_BLOCK = 1 << 14
"""Bytes read at once; a connection that breaks loses fewer."""
_PAGE = 1 << 16
"""Bytes of a web page that are looked at."""
_MOST_REDIRECTS = 10


def download(
    url: str,
    part: Path,
    *,
    label: str = "",
    span: tuple[int, int] | None = None,
    size: int | None = None,
    patience: Patience = PATIENCE,
) -> None:
    """Download a file, or a span of its bytes, going on with what ``part`` holds already.

    Args:
        url: http or https.
        part: where to; whatever happens, what it holds at the end can be gone on with.
        label: for the progress bar.
        span: first byte and number of bytes; None is the whole file.
        size: bytes of the whole file, where they are known before; a server that states or sends
            others is refused.
        patience: how long to try.

    Raises:
        SourceError: if the server does not give the file.
        WeightsError: if the disk is full.
    """
    with writing(part):
        part.parent.mkdir(parents=True, exist_ok=True)
        wanted = size if span is None else span[1]
        if wanted is not None:
            check_room(part, wanted - size_of(part))
    with _session(patience) as opened, _bar(label) as bar:
        persist(
            lambda: _attempt(opened, url, part, span, size, bar),
            lambda: size_of(part),
            patience,
            opened.watch.ends,
        )


def read_range(url: str, start: int, length: int, patience: Patience = PATIENCE) -> bytes:
    """Give a few bytes of a remote file.

    Raises:
        SourceError: if the server does not give them, or serves no ranges.
    """
    return read_span(url, start, length, patience)[0]


def read_span(
    url: str, start: int, length: int, patience: Patience = PATIENCE
) -> tuple[bytes, int | None]:
    """Give a few bytes of a remote file, and the size of the whole file as the server states it.

    Raises:
        SourceError: if the server does not give them, or serves no ranges.
    """
    asked = {"Range": f"bytes={start}-{start + length - 1}"}

    def attempt(opened: Any) -> tuple[bytes, int | None]:
        content = bytearray()
        with _get(opened, url, asked) as got:
            if got.status_code != 206:
                raise SourceError("the server does not serve byte ranges")
            if start_of(got) != start:
                raise AgainError("gives another range than was asked for")
            for block in _blocks(opened, got):
                content += block
                if len(content) > length:
                    raise SourceError(f"sends more than the {length:,} bytes asked for")
            if len(content) < length:
                raise AgainError(f"gave {len(content):,} of {length:,} bytes")
            return bytes(content), total_of(got)

    with _session(patience) as opened:
        return persist(lambda: attempt(opened), lambda: 0, patience, opened.watch.ends)


def read_page(url: str, patience: Patience = PATIENCE) -> bytes | None:
    """Give the start of the web page at an address; None if something else lies there.

    Raises:
        SourceError: if the server does not answer.
    """

    def attempt(opened: Any) -> None:
        with _get(opened, url, {}) as got:
            block = next(_blocks(opened, got), b"")
        if looks_like_html(block):
            raise PageError(page_of(block), block)

    with _session(patience) as opened:
        try:
            persist(lambda: attempt(opened), lambda: 0, patience, opened.watch.ends)
        except PageError as page:
            return page.content
    return None


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
    with _get(opened, url, headers) as got:
        if got.status_code == 416:
            if span is None and have and have == total_of(got):
                forget_notes(part)
                return
            forget(part)
            raise AgainError("the server has no such bytes (HTTP 416)")
        ranged = got.status_code == 206
        total = total_of(got) if ranged else length_of(got)
        if not ranged and span is not None:
            if have == 0:
                raise SourceError("the server does not serve byte ranges")
            forget(part)
            raise AgainError("the file has changed on the server")
        if ranged and start_of(got) != first + have:
            forget(part)
            raise AgainError("gives another range than was asked for")
        if ranged and have and remembered.get("total", total) != total:
            forget(part)
            raise AgainError("the file has changed on the server")
        if span is None and None not in (size, total) and size != total:
            raise SourceError(f"has {total:,} bytes, {size:,} expected")
        if not ranged:
            have = 0  # it is another file now, or ranges are not served
        wanted = total if length is None else length
        if wanted is not None and wanted > MOST_BYTES and length is None:
            raise SourceError(f"has {wanted:,} bytes, more than the {MOST_BYTES:,} of any weights")
        with writing(part):
            check_room(part, (wanted or 0) - have)
        bar.reset(total=wanted)
        bar.update(have)
        have = _write(opened, got, part, have, wanted, bar, total, sniff=first == 0)
        if wanted is not None and have < wanted:
            raise AgainError(f"broke off after {have:,} of {wanted:,} bytes")
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
    """Append an answer's body to the part, from ``have`` bytes on; give the part's new size."""
    most = MOST_BYTES if wanted is None else wanted
    blocks = _blocks(opened, got)
    block = next(blocks, b"")
    if sniff and have == 0 and looks_like_html(block):
        raise PageError(page_of(block), block)
    with writing(part):
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


# Requests and what they answer


@contextmanager
def _session(patience: Patience) -> Iterator[Any]:
    """Open a session of requests, with the proxies of the environment."""
    from nr3d.weights.connections import Session

    with Session(patience) as opened:
        yield opened


@contextmanager
def _get(opened: Any, url: str, headers: dict[str, str]) -> Iterator[Any]:
    """Ask for a URL; the body of a good answer is not read yet."""
    with _followed(opened, url, headers) as got:
        if got.status_code in BUSY:
            raise AgainError(status_of(got), retry_after(got))
        if got.status_code not in (200, 203, 206, 416):
            raise SourceError(status_of(got))
        kind = got.headers.get("Content-Type", "").lower()
        if got.status_code != 416 and ("text/html" in kind or "xhtml" in kind):
            page = bytearray()
            for block in _blocks(opened, got):
                page += block
                if len(page) >= _PAGE:
                    break
            raise PageError(page_of(bytes(page)), bytes(page))
        coding = coding_of(got)
        if coding is not None:
            raise SourceError(f"the server sends the file compressed ({coding}), unasked")
        length_of(got)  # or is no length
        yield got


@contextmanager
def _followed(opened: Any, url: str, headers: dict[str, str]) -> Iterator[Any]:
    """Ask for a URL, and for those that it redirects to; bodies on the way are not read."""
    watch = opened.watch
    timeout = (watch.patience.connect, watch.patience.read)
    for _ in range(_MOST_REDIRECTS + 1):
        with network(url, watch):
            watch.asked()
            got = opened.get(
                url, headers=headers, stream=True, allow_redirects=False, timeout=timeout
            )
        with got:
            target = target_of(got, url)
            if target is None:
                watch.answered()
                yield got
                return
            url = target
    raise SourceError(f"redirects more than {_MOST_REDIRECTS} times")


def _blocks(opened: Any, got: Any) -> Iterator[bytes]:
    """Give an answer's body as it comes, block by block."""
    blocks = got.raw.stream(_BLOCK, decode_content=False)
    while True:
        opened.watch.allow()
        with network("", opened.watch):
            block: bytes = next(blocks, b"")
        if not block:
            return
        yield block


@contextmanager
def _bar(label: str) -> Iterator[Any]:
    with tqdm(desc=label, unit="B", unit_scale=True, leave=False, disable=None) as bar:
        yield bar
