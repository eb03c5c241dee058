"""HDF5 files: read with distinct errors for each cause, and written without HDF5's faults.

HDF5 ends the process if it cannot write the last bytes of a file that it closes, for example on a
full disk. It also reports a file that another process is writing, or that may not be read, in the
same way as a damaged one. This module therefore lets HDF5 write through a Python file object, and
examines the cause of a failed read.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nr3d.errors import Nr3dError, reason_of

if TYPE_CHECKING:
    import h5py

VERSIONS = ("v110", "v110")
"""Versions of the HDF5 format to write: the first whose own structures all have checksums."""


_WITH_ATTRIBUTES = 1 << 24


@contextlib.contextmanager
def reading(
    path: Path,
    expected: str,
    advice: str,
    error_type: type[Nr3dError],
    *,
    searched: int = _WITH_ATTRIBUTES,
) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading and turn any failure within the block into one error.

    Errors of nr3d pass through unchanged.

    Args:
        path: the file, which exists.
        expected: kind of file that was expected, such as ``"a feature store"``.
        advice: advice to the user for a damaged file, as whole sentences.
        error_type: class of the error that is raised.
        searched: number of bytes, from the start of the file, in which heaps of variable-length
            strings are checked. It applies to files of HDF5's oldest format only. The default,
            which is used for all other files, covers the place of the attributes.

    Yields:
        h5py.File: the file, open for reading.

    Raises:
        Nr3dError: of the given class, if the file cannot be read. The message of a file that
            another process is writing, that may not be opened or whose disk fails differs from
            that of a damaged one.
    """
    import h5py

    try:
        # HDF5 reports a file that cannot be opened much as it reports damage.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise error_type(f"{path} is not a file, expected {expected}.")
            with os.fdopen(descriptor, "rb", buffering=0, closefd=False) as raw:
                if _at(raw, 8, 1) not in (b"\0", b"\1"):  # the superblock's version
                    searched = _WITH_ATTRIBUTES
                _check_heaps(raw, searched)
        finally:
            os.close(descriptor)
        with h5py.File(path, "r") as file:
            yield file
    except Nr3dError:
        raise
    except Exception as error:
        if _is_locked(error):
            raise error_type(
                f"{path} is open in another process that writes it ({reason_of(error)}): wait for "
                "that process to close the file, or end it. On a file system without locks, set "
                "HDF5_USE_FILE_LOCKING=FALSE."
            ) from error
        if _is_of_system(error):
            raise error_type(
                f"{path} cannot be read now ({reason_of(error)}), which does not mean that it is "
                "damaged: make it readable, and run the same command again."
            ) from error
        raise error_type(
            f"{path} cannot be read as {expected} ({reason_of(error)}): it is cut short, damaged "
            f"or another kind of file. {advice}"
        ) from error


def _check_heaps(raw: FileIO, searched: int) -> None:
    """Refuse a heap of strings that HDF5 would read for ever; heaps alone have no checksums."""
    for offset in range(0, searched, _BLOCK):
        block = _at(raw, offset, _BLOCK + len(_HEAP) - 1)
        place = block.find(_HEAP)
        while place >= 0:
            _check_heap(raw, offset + place)
            place = block.find(_HEAP, place + 1)
        if len(block) < _BLOCK:
            break


def _check_heap(raw: FileIO, start: int) -> None:
    (size,) = struct.unpack("<Q", _at(raw, start + 8, 8).ljust(8, b"\0"))
    heap = _at(raw, start, min(size, _LARGEST_HEAP))
    place = 16
    if size > os.fstat(raw.fileno()).st_size - start:  # HDF5 would allocate that much
        raise ValueError(f"a heap of texts at byte {start} is damaged")
    while place + 16 <= len(heap):
        index, length = struct.unpack("<H6xQ", heap[place : place + 16])
        # The length of free space, which has index 0, includes its own header.
        step = length if index == 0 else 16 + -(-length // 8) * 8
        if step == 0 or place + step > size:
            raise ValueError(f"a heap of texts at byte {start} is damaged")
        place += step


def _at(raw: FileIO, offset: int, size: int) -> bytes:
    raw.seek(offset)
    return raw.read(size)


_HEAP = b"GCOL\1\0\0\0"
"""First bytes of a heap of variable-length strings."""

_BLOCK, _LARGEST_HEAP = 1 << 20, 1 << 26
"""Number of bytes that are read at once, and at most of one heap."""


def _is_locked(error: Exception) -> bool:
    return "unable to lock file" in str(error)


def _is_of_system(error: Exception) -> bool:
    """Return whether the operating system failed to read the file, whatever it contains."""
    if isinstance(error, MemoryError):
        return False  # a size in the file is absurdly large
    found = re.search(r"\berrno = (\d+)", str(error))
    number = int(found[1]) if found else getattr(error, "errno", None)
    return number in _OF_SYSTEM


_OF_SYSTEM = {
    getattr(errno, name)
    for name in (
        *("EACCES", "EPERM", "EMFILE", "ENFILE", "EIO", "ESTALE", "ENOENT", "ENOTDIR", "ELOOP"),
        *("EREMOTEIO", "ETIMEDOUT", "EHOSTDOWN", "ENODEV", "ENXIO", "EAGAIN", "EINTR", "ENOLCK"),
    )
    if hasattr(errno, name)
}


def create(path: Path, fill: Callable[[h5py.File], object]) -> None:
    """Write an HDF5 file; a failure to write raises an error and does not crash the process.

    An interrupt is raised once the file is closed, because HDF5 cannot be interrupted safely.

    Args:
        path: the file; its former content is lost.
        fill: function that receives the open file and writes its content.

    Raises:
        OSError: if the file cannot be written.
    """
    _write(path, "w", fill)


def change(path: Path, edit: Callable[[h5py.File], object]) -> None:
    """Change an HDF5 file in place, with the same guarantees as :func:`create`.

    Args:
        path: the file, which exists.
        edit: function that receives the open file and changes its content.

    Raises:
        OSError: if the file cannot be written.
    """
    _write(path, "r+", edit)


def _write(path: Path, mode: str, work: Callable[[h5py.File], object]) -> None:
    import h5py

    with path.open("w+b" if mode == "w" else "r+b", buffering=0) as raw, _uninterrupted():
        target = _Target(raw)
        try:
            with h5py.File(target, mode, libver=VERSIONS) as file:
                work(file)
        except Exception:
            if target.error is None:
                raise
        if target.error is not None:
            raise target.error


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Defer Python's signal handlers to the end of the block."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python handles signals in the main thread only
        return
    before = {number: signal.getsignal(number) for number in _INTERRUPTS}
    came: list[int] = []
    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, handler)
        for number in dict.fromkeys(came):
            signal.raise_signal(number)


_INTERRUPTS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGBREAK")
    if hasattr(signal, name)
]


class _Target:
    """A file object that never fails: it keeps the first error and then writes nothing more."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.error: OSError | None = None

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._raw.seek(offset, whence))

    def tell(self) -> int:
        return int(self._raw.tell())

    def read(self, size: int = -1) -> bytes:
        return bytes(self._raw.read(size))

    def readinto(self, buffer: Any) -> int:
        return int(self._raw.readinto(buffer))

    def write(self, data: Any) -> int:
        left = memoryview(data)
        size = len(left)
        while self.error is None and left:  # an almost full disk accepts a part
            with self._keeping():
                left = left[self._raw.write(left) :]
        return size

    def truncate(self, size: int) -> int:
        if self.error is None:
            with self._keeping():
                self._raw.truncate(size)
        return size

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    @contextlib.contextmanager
    def _keeping(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = error
