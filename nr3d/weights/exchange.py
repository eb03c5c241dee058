"""One request and its answer: redirects followed by rule, pages and other refusals named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nr3d.weights.answers import coding_of, length_of, status_of, target_of
from nr3d.weights.failures import reading
from nr3d.weights.pages import page_of
from nr3d.weights.patience import PageError, Patience, SourceError

if TYPE_CHECKING:
    from nr3d.weights.connections import Session

_BLOCK = 1 << 14
"""Bytes read at once; a connection that breaks loses fewer."""
_PAGE = 1 << 16
"""Bytes of a web page that are looked at."""
_MOST_REDIRECTS = 10


def session(patience: Patience) -> Session:
    """Return a session of requests, which uses the proxies of the environment.

    Args:
        patience: limits on attempts, time and rate.
    """
    from nr3d.weights.connections import Session

    return Session(patience)


@contextmanager
def answer_to(opened: Session, url: str, headers: dict[str, str]) -> Iterator[Any]:
    """Request a file and yield the answer, whose body has not been read.

    Args:
        opened: session of :func:`session`.
        url: address, http or https.
        headers: headers beside the session's own.

    Yields:
        requests.Response: an answer of status 200, 203, 206 or 416.

    Raises:
        SourceError: if there is no answer, or one without a file: another status, a web page
            (:class:`PageError`), a compressed body, a length that is not a number.
    """
    with _followed(opened, url, headers) as got:
        if got.status_code not in (200, 203, 206, 416):
            raise SourceError(status_of(got))
        kind = got.headers.get("Content-Type", "").lower()
        if got.status_code != 416 and ("text/html" in kind or "xhtml" in kind):
            page = bytearray()
            for block in blocks_of(opened, got):
                page += block
                if len(page) >= _PAGE:
                    break
            raise PageError(page_of(bytes(page)), bytes(page))
        coding = coding_of(got)
        if coding is not None:
            raise SourceError(f"the server sends the file compressed ({coding}), unasked")
        length_of(got)  # raises for what is not a length
        yield got


def blocks_of(opened: Session, got: Any) -> Iterator[bytes]:
    """Yield an answer's body as it arrives, block by block.

    Args:
        opened: session that the answer is of.
        got: answer.

    Raises:
        SourceError, TransientError: if the connection breaks or is given up.
    """
    blocks = got.raw.stream(_BLOCK, decode_content=False)
    while True:
        opened.watch.allow_block()
        with reading():
            block: bytes = next(blocks, b"")
        if not block:
            return
        yield block


@contextmanager
def _followed(opened: Session, url: str, headers: dict[str, str]) -> Iterator[Any]:
    """Request an address and those that it redirects to; bodies on the way are not read."""
    for _ in range(_MOST_REDIRECTS + 1):
        with opened.request_once_answered(url, headers) as got:
            target = target_of(got, url)
            if target is None:
                opened.watch.begin_body()
                yield got
                return
            url = target
    raise SourceError(f"redirects more than {_MOST_REDIRECTS} times")
