"""Explanation of the end of a loader process, and what to do about it."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from typing import Any

from nr3d.data.memory import SHARED
from nr3d.errors import DataError, Nr3dError

MORE_ROOM = f"make {SHARED} larger (docker run --shm-size 8g, or --ipc host), or set data.workers 0"
"""Advice about shared memory that is too small."""

# torch: "DataLoader worker (pid 7) is killed by signal: Killed. ", "DataLoader worker (pid(s) 7, 8)
# exited unexpectedly", "… with exit code 1. Details are lost".
_DEATH = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) "
    r"(?:is killed by signal: ([^.]*)|exited unexpectedly(?: with (exit code \d+))?)"
)

_SECONDS = 2.0
"""Longest time from the loss of a connection to the end of its process, in seconds."""

_reported: set[str] = set()
"""Processes whose end was reported; torch's handler of the signal may run after that."""


def raise_death(error: Exception, workers: Sequence[BaseProcess] = ()) -> None:
    """Raise a one-line error if the end of a loader process is the cause of an error.

    Args:
        error: the error that torch's loader raised.
        workers: the loader processes.

    Raises:
        DataError: if a process has ended; the message says how, what the usual cause is and what to
            do.
    """
    if isinstance(error, Nr3dError):
        return
    said = _DEATH.search(str(error))
    # An error within a process arrives as "Caught ValueError in DataLoader worker process 0".
    if said is None and (isinstance(error, RuntimeError) or str(error).startswith("Caught ")):
        return
    until = time.monotonic() + _SECONDS
    ended: list[BaseProcess] = []
    while workers and not ended and time.monotonic() < until:
        ended = [worker for worker in workers if not worker.is_alive()]
        time.sleep(0.01)
    pids = {str(worker.pid) for worker in ended}
    codes = [worker.exitcode or 0 for worker in ended]
    how = next((signal.strsignal(-code) for code in codes if code < 0), None)
    how = how or next((f"exit code {code}" for code in codes if code), None)
    if said is not None:
        pids |= set(said[1].split(", "))
        how = how or said[2] or said[3]
    elif not ended:
        return
    _reported.update(pids)
    raise DataError(_explained(how or "for an unknown reason", pids)) from error


def _explained(how: str, pids: set[str]) -> str:
    if how == "Bus error":
        why = f"usually the shared memory is full: {MORE_ROOM}"
    elif how == "Segmentation fault":
        why = "find the frame that crashes its decoder with nr3d data check"
    else:
        why = "usually the memory is full: set data.workers or the batch size lower"
    return (
        f"A process that loads frames has ended ({how}; pid {', '.join(sorted(pids))}): {why}. A "
        "training is resumed with model.resume and its last checkpoint."
    )


class _Handler:
    """Handler of the signal of a child's end, which explains the error of torch's handler.

    The error appears wherever the program is at that moment, usually not in the loader.
    """

    def __init__(self, handler: Callable[[int, Any], Any]) -> None:
        self.handler = handler

    def __call__(self, number: int, frame: Any) -> None:
        try:
            self.handler(number, frame)
        except RuntimeError as error:
            said = _DEATH.search(str(error))
            if said is not None and _reported.issuperset(said[1].split(", ")):
                return
            raise_death(error)
            raise


def explain_deaths() -> None:
    """Explain the end of loader processes that torch's handler of the signal notices.

    This must be called after torch has started the first loader process and thus set its handler.
    """
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        return
    handler = signal.getsignal(signal.SIGCHLD)
    if callable(handler) and not isinstance(handler, _Handler):
        signal.signal(signal.SIGCHLD, _Handler(handler))
