"""Locks beside files that say who holds them, and that nothing is left of."""

from __future__ import annotations

import atexit
import contextlib
import datetime
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nr3d.errors import Nr3dError, reason_of

logger = logging.getLogger(__name__)


class Locked(Nr3dError, BlockingIOError):
    """Another process holds a lock.

    Attributes:
        holder: who, such as ``process 812 on gpu3, since 2026-01-31 09:30:00``.
    """

    def __init__(self, what: str | Path, holder: str) -> None:
        super().__init__(
            f"{what} is being written by {holder}: wait until that has ended, or write elsewhere."
        )
        self.holder = holder


@contextlib.contextmanager
def locked(path: Path, what: str | Path) -> Iterator[None]:
    """Hold a lock file, or be refused at once.

    The lock is the operating system's, so that it ends with its process however that ends. The
    file says who holds it and is removed at the end; one that a killed process left is taken over.

    Args:
        path: the lock file, in a folder that is there.
        what: is locked by it, for the message.

    Raises:
        Locked: if it is held, by this process or another; the message says by whom.
        OSError: if the folder cannot be written.
    """
    if sys.platform == "win32":
        with _locked_by_filelock(path, what):
            yield
        return
    owner = os.getpid()
    descriptor = _acquired(path, what)
    try:
        _sign(descriptor)
        yield
    finally:
        # A forked process that comes out of the block closed its copy as it was forked.
        if os.getpid() == owner:
            _release(descriptor, path)


@contextlib.contextmanager
def in_turn(
    lock: Callable[[], contextlib.AbstractContextManager[None]],
    refused: Callable[[Locked, float], None],
    every: float = 0.1,
) -> Iterator[None]:
    """Hold a lock once those who hold it are done.

    Args:
        lock: gives the lock, such as :func:`locked` does; called until it is not refused.
        refused: called before each wait with the refusal and the seconds waited so far, 0 at first;
            what it raises ends the waiting.
        every: seconds from one try to the next.
    """
    began = None
    with contextlib.ExitStack() as held:
        while True:
            try:
                held.enter_context(lock())
                break
            except Locked as refusal:
                now = time.monotonic()
                began = now if began is None else began
                refused(refusal, now - began)
            time.sleep(every)
        yield


_held: dict[int, Path] = {}
"""Descriptors and files of the locks that this process holds."""


def _release(descriptor: int, path: Path) -> None:
    # While it is held: whoever opened it before finds that it is no longer the path's.
    path.unlink(missing_ok=True)
    _held.pop(descriptor, None)
    os.close(descriptor)


@atexit.register
def _release_all() -> None:
    """Release what an interrupt between two steps of a block's end left held."""
    for descriptor, path in list(_held.items()):
        with contextlib.suppress(OSError):
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it may be another's
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                _release(descriptor, path)


def _let_go_in_child() -> None:
    """Close a forked process's copies: it would hold the locks of a parent that was killed."""
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)


def _acquired(path: Path, what: str | Path) -> int:
    """Open and lock the file that is at the path, made if there is none."""
    import fcntl

    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        _held[descriptor] = path.absolute()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            del _held[descriptor]
            os.close(descriptor)
            raise Locked(what, holder) from None
        except OSError as error:
            # Some network file systems have no locks. Refusing to write there would be worse.
            logger.warning(
                "%s lies on a file system without locks (%s): see to it that no other process "
                "writes it",
                what,
                reason_of(error),
            )
            return descriptor
        # Between the two calls its holder may have ended and removed it, and the next one made
        # another: that one counts.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        del _held[descriptor]
        os.close(descriptor)


def _sign(descriptor: int) -> None:
    """Write into a lock file who holds it."""
    told = json.dumps(
        {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.datetime.now().isoformat(" ", "seconds"),
        }
    )
    with contextlib.suppress(OSError):  # a full disk: held without saying by whom
        os.ftruncate(descriptor, 0)
        os.write(descriptor, told.encode())


def _holder(descriptor: int) -> str:
    """Say who holds a lock, by what its file says."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        told: dict[str, Any] = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {int(told['pid'])} on {told['host']}, since {told['since']}"
    return "another process"


@contextlib.contextmanager
def _locked_by_filelock(path: Path, what: str | Path) -> Iterator[None]:
    """Hold the lock where the operating system removes no file that is open."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Locked(what, "another process") from None
    try:
        yield
    finally:
        lock.release()
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
