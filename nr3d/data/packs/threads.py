"""Work on a sequence of items, shared by threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

BLOCK = 256
"""Number of items that a thread takes at a time; one future for each would need too much memory."""


def spread(work: Callable[[range], Iterable[T]], count: int, workers: int) -> Iterator[T]:
    """Run a function on indices counted from 0, block by block in threads.

    Closing the generator, or an error, ends the work: blocks in progress are finished, and no more
    are started.

    Args:
        work: function that returns a result for each of some indices.
        count: number of indices.
        workers: number of threads.

    Yields:
        The results, in the order of the indices.

    Examples:
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
