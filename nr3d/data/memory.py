"""The memory available to loader processes and to cached frames."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

SHARED = Path("/dev/shm")
"""Folder of the shared memory in Linux; other systems have none."""

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def processes_here() -> int:
    """Return the number of the run's processes on this machine, as torchrun started them."""
    count = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, int(count)) if count.isascii() and count.isdecimal() else 1


def free_shared() -> int | None:
    """Return this process's share of the free shared memory in bytes; None if it is not known."""
    try:
        room = os.statvfs(SHARED)
    except (OSError, AttributeError):  # no such folder; no such call on Windows
        return None
    return room.f_bavail * room.f_frsize // processes_here()


def free_memory() -> int | None:
    """Return this process's share of the free memory in bytes; None if it is not known.

    The memory is that of the machine, or of its control group (version 2, as in a container) if
    that has less.
    """
    found = []
    with contextlib.suppress(OSError):
        match = re.search(r"^MemAvailable:\s+(\d+) kB", _MEMINFO.read_text(), re.MULTILINE)
        if match:
            found.append(1024 * int(match[1]))
    with contextlib.suppress(OSError, ValueError):  # "max" where there is no limit
        limit = int((_CGROUP / "memory.max").read_text())
        found.append(max(0, limit - int((_CGROUP / "memory.current").read_text())))
    return min(found) // processes_here() if found else None


def loaders_that_fit(workers: int, ahead: int, batch: int) -> tuple[int, int]:
    """Return how many loader processes fit the shared memory, and how many batches each has ahead.

    Each process makes some batches ahead in the shared memory, and up to two more are in use.

    Args:
        workers: requested number of loader processes.
        ahead: number of batches that each process makes ahead.
        batch: size of a batch, in bytes.

    Examples:
        >>> loaders_that_fit(4, 2, batch=0)
        (4, 2)
    """
    free = free_shared()
    if not workers or not batch or free is None or (workers * ahead + 2) * batch <= free:
        return workers, ahead
    places = max(0, free // batch - 2)
    workers = min(workers, places)
    return workers, min(ahead, places // workers) if workers else ahead
