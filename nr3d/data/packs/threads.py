"""Threads that share a row of items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

BLOCK = 256
"""Items that a thread takes at a time: a future for each of a million would not fit."""


def spread(work: Callable[[range], Iterable[T]], count: int, workers: int) -> Iterator[T]:
    """Let threads work on the indices from 0, block by block.

    Closing it, or an error, ends the work: what was begun is waited for and no more is.

    Args:
        work: from some indices to what it found at each.
        count: how many indices.
        workers: threads.

    Yields:
        What was found, in the order of the indices.

    Examples::
        >>> list(spread(lambda indices: [index**2 for index in indices], 4, workers=2))
        [0, 1, 4, 9]
    """
    pool = ThreadPoolExecutor(workers)
    try:
        blocks = (range(at, min(at + BLOCK, count)) for at in range(0, count, BLOCK))
        for found in pool.map(work, blocks):
            yield from found
    finally:
        pool.shutdown(cancel_futures=True)
