"""Lock files that say who holds them and that are removed with their lock."""

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
    """A lock is held, in most cases by another process.

    Args:
        what: file or folder that the lock protects.
        holder: description of the holder.

    Attributes:
        holder: description of the holder, such as
            ``process 812 on gpu3, since 2026-01-31 09:30:00``.
    """

    def __init__(self, what: str | Path, holder: str) -> None:
        super().__init__(
            f"{what} is being written by {holder}: wait until that has ended, or write elsewhere."
        )
        self.holder = holder


@contextlib.contextmanager
def locked(path: Path, what: str | Path) -> Iterator[None]:
    """Hold a lock file for the duration of a block, without waiting for it.

    The lock belongs to the operating system and therefore ends with its process, however that ends.
    The file says who holds the lock and is removed at the end of the block. A file that a killed
    process left behind is taken over.

    Args:
        path: lock file, in a folder that exists.
        what: file or folder that the lock protects, for the message.

    Raises:
        Locked: if this process or another one holds the lock; the message says which.
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
        # A forked process that leaves the block closed its copy when it was forked.
        if os.getpid() == owner:
            _release(descriptor, path)


@contextlib.contextmanager
def in_turn(
    lock: Callable[[], contextlib.AbstractContextManager[None]],
    refused: Callable[[Locked, float], None],
    every: float = 0.1,
) -> Iterator[None]:
    """Wait for a lock and hold it for the duration of a block.

    Args:
        lock: function that returns a lock such as :func:`locked`; called until it is not refused.
        refused: function called before each wait with the refusal and the seconds waited so far,
            which are 0 the first time; an exception that it raises ends the waiting.
        every: time between two attempts, in seconds.
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
"""Locks that this process holds: file descriptor to lock file."""


def _release(descriptor: int, path: Path) -> None:
    # Removed while held: whoever opened the file before then sees that the path no longer names it.
    path.unlink(missing_ok=True)
    _held.pop(descriptor, None)
    os.close(descriptor)


@atexit.register
def _release_all() -> None:
    """Release locks that are still held because an interrupt arrived while a block was ending."""
    for descriptor, path in list(_held.items()):
        with contextlib.suppress(OSError):
            import fcntl

            # Fails if another process holds the lock by now.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                _release(descriptor, path)


def _let_go_in_child() -> None:
    """Close the copies in a forked process, which would keep the locks of a killed parent held."""
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)


def _acquired(path: Path, what: str | Path) -> int:
    """Open and lock the file at the path, which is created if there is none."""
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
            # Some network file systems have no locks; refusing to write there would be worse.
            logger.warning(
                "%s lies on a file system without locks (%s): make sure that no other process "
                "writes it",
                what,
                reason_of(error),
            )
            return descriptor
        # Between the two calls the holder may have removed the file and another process may have
        # created a new one: only the file that the path names now counts.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        del _held[descriptor]
        os.close(descriptor)


def _sign(descriptor: int) -> None:
    """Write the holder into a lock file."""
    record = json.dumps(
        {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.datetime.now().isoformat(" ", "seconds"),
        }
    )
    with contextlib.suppress(OSError):  # the disk is full: the lock is held, without a name
        os.ftruncate(descriptor, 0)
        os.write(descriptor, record.encode())


def _holder(descriptor: int) -> str:
    """Return who holds a lock, according to its file."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        record: dict[str, Any] = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {int(record['pid'])} on {record['host']}, since {record['since']}"
    return "another process"


@contextlib.contextmanager
def _locked_by_filelock(path: Path, what: str | Path) -> Iterator[None]:
    """Hold a lock where the operating system cannot remove an open file."""
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
