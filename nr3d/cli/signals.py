"""Signals that stop a command, and how to continue afterwards."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from nr3d.parallel import launched
from nr3d.processes import stopping
from nr3d.processes.children import SIGNALS, signals_handled
from nr3d.processes.stopping import Interrupted

_AGAIN = 1.0
"""Seconds until a second Ctrl-C counts: torchrun and a terminal may both send the first."""


class _Handler:
    """Signal handler that stops the work at its next safe point, or else at once."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.first: float | None = None

    def __call__(self, number: int, frame: Any) -> None:
        if os.getpid() != self.process:  # a forked process acts as if there were no handler
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        now = time.monotonic()
        if self.first is None:
            self.first = now
            if stopping.request(number):
                if os.isatty(2):
                    os.write(2, b"\nStopping after the step under way; Ctrl-C stops at once.\n")
                return
        elif number != signal.SIGINT or now - self.first < _AGAIN:
            return  # it is stopping already
        raise Interrupted(number)


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let signals stop the work in a block, by raising :class:`Interrupted`.

    A signal that was already ignored when the process started, as by ``nohup``, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    taken = {n: b for n, b in before.items() if b not in (signal.SIG_IGN, None)}
    stopping.withdraw()
    handler = _Handler()
    try:
        for number in taken:
            signal.signal(number, handler)
        with signals_handled():
            yield
    finally:
        for number, earlier in taken.items():
            signal.signal(number, earlier)


def farewell(
    stopped: KeyboardInterrupt, argv: Sequence[str], *, goes_on: bool, resumes: bool
) -> str:
    """Return one line that states what stopped a command, and how to continue.

    Args:
        stopped: the exception that the signal raised.
        argv: the words after ``nr3d``.
        goes_on: whether the same command, run again, continues where it stopped.
        resumes: whether the command takes ``model.resume``.
    """
    number = signal_of(stopped)
    words = ["interrupted" if number == signal.SIGINT else f"ended by {number.name}"]
    if isinstance(stopped, Interrupted) and stopped.where:
        words.append(stopped.where)
    told = " ".join(words)
    if resumes and isinstance(stopped, Interrupted) and stopped.checkpoint is not None:
        return f"{told}; continue with: {resuming(argv, str(stopped.checkpoint))}"
    return f"{told}; the same command continues where it stopped" if goes_on else told


def signal_of(stopped: KeyboardInterrupt) -> signal.Signals:
    """Return the signal that raised an interrupt."""
    return signal.Signals(getattr(stopped, "number", signal.SIGINT))


def resuming(argv: Sequence[str], checkpoint: str) -> str:
    """Return the command that continues a run from its checkpoint."""
    words = list(argv)
    while "model.resume" in words:
        at = words.index("model.resume")
        del words[at : at + 2]
    command = ["nr3d"]
    here, size = os.environ.get("LOCAL_WORLD_SIZE", "1"), launched().size
    if size > 1:
        nodes = [] if here == str(size) else ["--nnodes", str(size // max(1, int(here)))]
        command = ["torchrun", *nodes, "--nproc-per-node", here, "-m", "nr3d"]
    return shlex.join([*command, *words, "model.resume", checkpoint])
