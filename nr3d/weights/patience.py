"""How long a source of weights is waited for, and the failures that end or repeat an attempt."""

from __future__ import annotations

from dataclasses import dataclass


class SourceError(Exception):
    """A source does not provide its file; the message is the reason in a few words.

    The next source is then tried.
    """


class PageError(SourceError):
    """A server sent a web page instead of a file.

    Args:
        reason: reason in a few words.
        content: start of the page.
    """

    def __init__(self, reason: str, content: bytes) -> None:
        super().__init__(reason)
        self.content = content


class TransientError(Exception):
    """A transfer failed in a way that may not occur again; the message is the reason.

    Args:
        reason: reason in a few words.
        slow: whether the server was given up because it sends too slowly. The bytes that arrived
            do not count as progress then.
    """

    def __init__(self, reason: str, slow: bool = False) -> None:
        super().__init__(reason)
        self.slow = slow


@dataclass(frozen=True)
class Patience:
    """Limits on how long a source is waited for.

    Args:
        attempts: number of attempts in a row without progress after which a source is given up.
        unreachable: number of attempts in a row to establish a connection.
        backoff: wait before the second attempt, in seconds; doubled for each further attempt.
        longest: longest wait between two attempts, in seconds, even if the server asks for more.
        connect: time-out for establishing a connection, in seconds.
        read: time-out for the next byte, in seconds.
        answer: time-out from a request to the end of the answer's headers, in seconds.
        slowest: least transfer rate, in bytes per second, as the mean over ``window``.
        window: duration over which the transfer rate is measured, in seconds spent waiting for
            bytes.
        total: time-out for all attempts together, in seconds.
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
"""Patience of downloads that do not ask for another."""
