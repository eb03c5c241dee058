"""Requests to stop: at once, or at the next point where nothing is lost.

Work that can stop only at certain points enters :func:`at_safe_points` and calls :func:`requested`
at each of them. Whoever wants the work to stop, such as the command line on a signal, calls
:func:`request`. Importing this module does not change how a program handles signals.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path


class Interrupted(KeyboardInterrupt):
    """The work was stopped by a signal.

    Args:
        number: number of the signal.
        where: progress of the work, such as ``after epoch 3``; empty if it is unknown.
        checkpoint: checkpoint from which the work can be continued; None if there is none.

    Attributes:
        number: number of the signal.
        where: progress of the work; empty if it is unknown.
        checkpoint: checkpoint from which the work can be continued; None if there is none.
    """

    def __init__(self, number: int, where: str = "", checkpoint: Path | None = None) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}{where and ' '}{where}")
        self.number = number
        self.where = where
        self.checkpoint = checkpoint


class _Waiting:
    """Whether requests wait for a safe point, and the request that is waiting."""

    waits = False
    request = 0


_waiting = _Waiting()


def request(number: int = signal.SIGINT) -> bool:
    """Ask the work in progress to stop.

    Args:
        number: number of the signal that asks for it.

    Returns:
        bool: True if the work will stop by itself at its next safe point. False if it has no safe
        points: the request is not recorded, and the caller may raise :class:`Interrupted`.
    """
    if _waiting.waits:
        _waiting.request = number
    return _waiting.waits


def requested() -> int:
    """Return the number of the signal that asked the work to stop; 0 if it may continue."""
    return _waiting.request


def withdraw() -> None:
    """Clear the request, because it is being followed."""
    _waiting.request = 0


@contextlib.contextmanager
def at_safe_points() -> Iterator[None]:
    """Let requests that arrive during a block wait until it calls :func:`requested`.

    A request that arrives after the block's last call is left for the code after the block.
    """
    before = _waiting.waits
    _waiting.waits = True
    try:
        yield
    finally:
        _waiting.waits = before


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """Let requests stop a block at any point, although it is within :func:`at_safe_points`.

    Raises:
        Interrupted: if a request is waiting already.
    """
    before = _waiting.waits
    _waiting.waits = False
    try:
        number = _waiting.request
        if number:
            withdraw()
            raise Interrupted(number)
        yield
    finally:
        _waiting.waits = before
