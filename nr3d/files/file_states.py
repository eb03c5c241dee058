"""Results that are computed from a file once and kept until the file changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

_TICK = 50_000_000
"""Nanoseconds within which two changes of a file may leave the same times on it."""
_COARSE_TICK = 2_000_000_000
"""The same on file systems that keep whole seconds only."""


@dataclass(frozen=True)
class _State:
    """Identity and times of a file, which differ once its content has changed."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @property
    def is_settled(self) -> bool:
        """Whether any change from now on leaves other times than these."""
        newest = max(self.modified, self.changed)
        tick = _TICK if newest % 1_000_000_000 else _COARSE_TICK
        return time.time_ns() - newest > tick


class OncePerState(Generic[T]):
    """A function of a file, computed once for each state of the file in this process.

    A state is the file's device, inode, size and times. The result for a file that was changed so
    recently that a further change might leave the same times is not kept.

    Args:
        compute: function of a path. What it raises is not kept.

    Examples:
        >>> length = OncePerState(lambda path: len(path.read_bytes()))
        >>> _ = Path("notes.txt").write_text("abc")
        >>> length(Path("notes.txt"))
        3
        >>> _ = Path("notes.txt").write_text("abcdef")
        >>> length(Path("notes.txt"))
        6
    """

    def __init__(self, compute: Callable[[Path], T]) -> None:
        self._compute = compute
        self._kept: dict[Path, tuple[_State, T]] = {}

    def __call__(self, path: Path) -> T:
        """Return the result for a file, from memory while the file is unchanged."""
        before = _state_of(path)
        if path in self._kept and self._kept[path][0] == before:
            return self._kept[path][1]
        self.forget(path)
        value = self._compute(path)
        if before is not None and before.is_settled:
            self._kept[path] = before, value
        return value

    def forget(self, path: Path) -> None:
        """Drop the result for a file, so that the next call reads the file again."""
        self._kept.pop(path, None)

    def renamed(self, old: Path, new: Path) -> None:
        """Keep a result under the new name of its file, if only the name has changed.

        Args:
            old: path that the result was computed at.
            new: path that the file has been renamed to.
        """
        self.forget(new)
        kept, state = self._kept.pop(old, None), _state_of(new)
        # Renaming is a change of the file's status, not of its content.
        if kept and state and replace(kept[0], changed=0) == replace(state, changed=0):
            self._kept[new] = state, kept[1]


def _state_of(path: Path) -> _State | None:
    """Return the state of a file; None where there is none that could be looked at."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return _State(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
