"""Child processes, which leave signals to their parent and end with it."""

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
"""Signals that ask a command to stop. Terminals and Slurm often send them to its children too."""

_handled = False


@contextlib.contextmanager
def signals_handled() -> Iterator[None]:
    """Declare that this process handles :data:`SIGNALS` in a block, so its children ignore them."""
    global _handled
    before, _handled = _handled, True
    try:
        yield
    finally:
        _handled = before


def are_signals_handled() -> bool:
    """Return whether this process, or the one it was forked from, handles :data:`SIGNALS`."""
    return _handled


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Block :data:`SIGNALS` while processes are forked, which inherit the blocked signals."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def follow_parent() -> None:
    """Make a forked process end with its parent, and by its parent's SIGTERM only.

    Without this, a signal to all processes of a job would end a data loader before the parent has
    finished its step, and the workers of a killed parent would wait for ever.
    """
    if not hasattr(signal, "sigtimedwait"):
        for number in SIGNALS - {signal.SIGTERM}:
            signal.signal(number, signal.SIG_IGN)
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    of = multiprocessing.parent_process()
    parent = os.getppid() if of is None or of.pid is None else of.pid
    # A process that a fork server starts is the server's child but works for another process.
    server = of is not None and os.getppid() != parent
    there = of.is_alive if of is not None and server else lambda: os.getppid() == parent
    threading.Thread(target=_follow, args=(parent, there), daemon=True).start()


def _follow(parent: int, there: Callable[[], bool]) -> None:
    while there():
        received = signal.sigtimedwait(SIGNALS, 1.0)
        if received is None:
            continue
        if received.si_signo == signal.SIGTERM and received.si_pid == parent:
            os._exit(0)
        time.sleep(0.01)  # a signal that is sent without end must not keep the CPU busy
    os._exit(1)
