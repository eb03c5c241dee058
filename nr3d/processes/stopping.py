"""Requests to stop: at once, or at the next point where nothing is lost.

Work that can stop only now and then says so by :func:`at_safe_points` and asks :func:`requested`
there. Whoever wants it to stop, such as the command line on a signal, calls :func:`request`.
Without a request nothing here changes how a program handles its signals.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path


class Interrupted(KeyboardInterrupt):
    """A signal asked the work to stop.

    Attributes:
        number: the signal's.
        where: how far the work had come; empty where it does not say.
        checkpoint: what goes on from there; None without one.
    """

    def __init__(self, number: int, where: str = "", checkpoint: Path | None = None) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}{where and ' '}{where}")
        self.number = number
        self.where = where
        self.checkpoint = checkpoint


class _Waiting:
    """Whether requests wait for a safe point, and the one that does."""

    waits = False
    request = 0


_waiting = _Waiting()


def request(number: int = signal.SIGINT) -> bool:
    """Ask the work under way to stop.

    Args:
        number: the signal that asks for it.

    Returns:
        bool: whether the work stops by itself, at its next safe point; else nothing was noted, and
        the caller may raise :class:`Interrupted`.
    """
    if _waiting.waits:
        _waiting.request = number
    return _waiting.waits


def requested() -> int:
    """Return the signal that asked the work to stop; 0 if it may go on."""
    return _waiting.request


def withdraw() -> None:
    """Take a request back, as it is being followed."""
    _waiting.request = 0


@contextlib.contextmanager
def at_safe_points() -> Iterator[None]:
    """Let requests wait in a block until it asks for them.

    One that the block did not ask for any more is left for what comes after it.
    """
    before = _waiting.waits
    _waiting.waits = True
    try:
        yield
    finally:
        _waiting.waits = before


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """Let requests within :func:`at_safe_points` stop a block wherever it is.

    Raises:
        Interrupted: if one is waiting.
    """
    before = _waiting.waits
    _waiting.waits = False
    try:
        asked = _waiting.request
        if asked:
            withdraw()
            raise Interrupted(asked)
        yield
    finally:
        _waiting.waits = before
