"""Processes that work for another one: they leave signals to it, and end with it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")

SIGNALS = frozenset(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
"""What asks a command to stop. It is often sent to its children too: by a terminal, by Slurm."""

_handled = False


@contextlib.contextmanager
def signals_handled() -> Iterator[None]:
    """Say that this process handles :data:`SIGNALS` in a block, so that children leave them."""
    global _handled
    before, _handled = _handled, True
    try:
        yield
    finally:
        _handled = before


def are_signals_handled() -> bool:
    """Say whether this process, or the one that it was forked from, handles the signals."""
    return _handled


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Hold signals back while processes are forked, which then begin with them held back."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def follow_parent() -> None:
    """Begin the work of a forked process: its parent alone ends it, and it ends with its parent.

    Without this a signal to all processes of a job ends a loader before the parent has finished its
    step, and workers of a parent that was killed wait for ever.
    """
    if not hasattr(signal, "sigtimedwait"):
        for number in SIGNALS - {signal.SIGTERM}:
            signal.signal(number, signal.SIG_IGN)
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    of = multiprocessing.parent_process()
    parent = os.getppid() if of is None or of.pid is None else of.pid
    # What a server of forks starts is the server's child, and works for another process.
    server = of is not None and os.getppid() != parent
    there = of.is_alive if of is not None and server else lambda: os.getppid() == parent
    threading.Thread(target=_follow, args=(parent, there), daemon=True).start()


def _follow(parent: int, there: Callable[[], bool]) -> None:
    while there():
        told = signal.sigtimedwait(SIGNALS, 1.0)
        if told is not None and told.si_signo == signal.SIGTERM and told.si_pid == parent:
            os._exit(0)
        if told is not None:
            time.sleep(0.01)  # one that is sent without end costs nothing
    os._exit(1)
