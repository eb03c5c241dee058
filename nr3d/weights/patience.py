"""How long a source is waited for, and what is tried again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

_MOST_ATTEMPTS = 50


class SourceError(Exception):
    """Why a source does not give its file, in a few words; the next one is then tried."""


class PageError(SourceError):
    """A web page came where a file should be.

    Args:
        reason: in a few words.
        content: the start of the page.
    """

    def __init__(self, reason: str, content: bytes) -> None:
        super().__init__(reason)
        self.content = content


class AgainError(Exception):
    """An attempt failed in a way that may pass.

    Args:
        reason: in a few words.
        wait: seconds that the server asks for.
        reached: whether a server was reached at all.
        slow: whether it gave up on a server that sends too slowly; what came does not count then.
    """

    def __init__(
        self, reason: str, wait: float | None = None, reached: bool = True, slow: bool = False
    ) -> None:
        super().__init__(reason)
        self.wait = wait
        self.reached = reached
        self.slow = slow


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
        answer: seconds from a request to the end of the answer's headers.
        slowest: bytes a second that an answer brings at least, as the mean over ``window``.
        window: seconds of waiting for bytes over which ``slowest`` is measured.
        total: seconds for all attempts together.
    """

    attempts: int = 5
    unreachable: int = 2
    backoff: float = 1.0
    longest: float = 60.0
    connect: float = 10.0
    read: float = 30.0
    answer: float = 60.0
    slowest: float = 1000.0
    window: float = 30.0
    total: float = 12 * 3600.0


PATIENCE = Patience()


def persist(
    attempt: Callable[[], T], gained: Callable[[], int], patience: Patience, ends: float
) -> T:
    """Try until it works, too often in a row without a gain, or for too long.

    Args:
        attempt: what to try; raises :class:`AgainError` for what may pass.
        gained: bytes that are here so far.
        patience: how long to try.
        ends: the time, by ``time.monotonic``, at which no further attempt begins.

    Raises:
        SourceError: with the reason of the last attempt.
    """
    fruitless, most, reason = 0, gained(), ""
    for _ in range(_MOST_ATTEMPTS):
        try:
            return attempt()
        except AgainError as error:
            reason, wait, have = str(error), error.wait, gained()
            fruitless = 0 if have > most and not error.slow else fruitless + 1
            most = max(most, have)
            if fruitless >= (patience.attempts if error.reached else patience.unreachable):
                break
        pause = patience.backoff * 2 ** max(fruitless - 1, 0) if wait is None else wait
        pause = min(pause, patience.longest)
        if time.monotonic() + pause >= ends:
            break
        time.sleep(pause)
    raise SourceError(reason)
