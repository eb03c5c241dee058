"""Writing a feature store: tracklet by tracklet, and never a state of it that is not whole."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from nr3d.atomic import replacing, sole_writer
from nr3d.errors import DataError, FeatureStoreError, reason_of
from nr3d.features.layout import COLUMNS, SPLITS, Origin, keys_in, origin_in, reading, start, texts

OFTEN = 2.0
"""Seconds between two writes, at least; they take less than a twentieth of the time."""


@dataclass(frozen=True)
class Row:
    """One tracklet."""

    split: str
    index: int
    pid: int
    camid: int
    name: str
    feature: npt.NDArray[np.float32]
    """(D,)"""
    clips: int
    frame_weights: npt.NDArray[np.float32]
    """(frames,)"""

    @property
    def key(self) -> tuple[str, int]:
        """What tells it from the others."""
        return self.split, self.index


class FeatureWriter:
    """Adds tracklets to a feature store, in a ``with`` block.

    Rows are written in groups: to a copy of the file, which then takes its place. Whatever stops
    the process, the file is one that was written whole.

    Args:
        path: the file; if it is there, its rows are kept, else it is made.
        origin: what the features are made with, which is what those in the file must be made with.

    Attributes:
        keys: (split, index) of the rows that the file has or will have.

    Raises:
        FeatureStoreError: if the file is not a store, was made with other weights or settings, or
            is written by another process.

    Examples::
        with nr3d.features.FeatureWriter("features.h5", origin) as writer:
            for row in rows:
                if row.key not in writer.keys:
                    writer.append(row)
            writer.finish()
    """

    def __init__(self, path: str | Path, origin: Origin) -> None:
        self.path = Path(path)
        self.origin = origin
        self.keys: set[tuple[str, int]] = set()
        self._waiting: list[Row] = []
        self._written, self._took = 0.0, 0.0
        self._sole = ExitStack()

    def __enter__(self) -> FeatureWriter:
        try:
            self._sole.enter_context(sole_writer(self.path))
        except BlockingIOError as error:
            raise FeatureStoreError(f"{error}: wait for it, or give another file.") from None
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            if self.path.exists():
                self.keys = self._check()
            else:
                self._start()
        except BaseException:
            self._sole.close()
            raise
        self._written = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            # What was computed before an error, or an interrupt, is kept.
            if self._waiting and kind is not FeatureStoreError:
                self.write()
        finally:
            self._sole.close()

    def append(self, row: Row) -> None:
        """Add a tracklet, which the file does not have.

        Raises:
            DataError: if the feature is not finite.
            FeatureStoreError: if the file cannot be written.
        """
        with np.errstate(over="ignore"):
            finite = np.isfinite(row.feature.astype(self.origin.dtype)).all()
        if not (finite and np.isfinite(row.frame_weights).all()):
            raise DataError(
                f"The feature of {row.split} tracklet {row.name} is not finite in "
                f"{self.origin.dtype}: the network has diverged, its weights are damaged, or the "
                "type is too small. Features before it are kept."
            )
        self._waiting.append(row)
        self.keys.add(row.key)
        if time.monotonic() - self._written > max(OFTEN, 20 * self._took):
            self.write()

    def write(self) -> None:
        """Write what was appended so far.

        Raises:
            FeatureStoreError: if the disk is full or the folder read-only; the file is as it was.
        """
        self._update(complete=False)

    def finish(self) -> None:
        """Write what is left, put the rows into the dataset's order and call the store complete."""
        self._update(complete=True)

    def take_in(self, parts: Sequence[Path]) -> None:
        """Add the rows of other stores of the same origin, then remove these.

        Raises:
            FeatureStoreError: if one is not usable; the message says which.
        """
        for part in parts:
            with reading(part) as file:
                _compare(part, origin_in(file), self.origin)
                rows = list(_rows_in(file))
            self._waiting += [row for row in rows if row.key not in self.keys]
            self.keys.update(row.key for row in rows)
        self.write()
        for part in parts:
            part.unlink()

    def _start(self) -> None:
        try:
            with replacing(self.path) as partial:
                start(partial, self.origin)
        except (OSError, RuntimeError) as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: Exception) -> FeatureStoreError:
        held = len(self.keys) - len(self._waiting)
        kept = f" It holds {held} tracklets, as before." if held else ""
        reason = getattr(error, "reason", "") or reason_of(error)
        return FeatureStoreError(
            f"{self.path} cannot be written ({reason}): free some space or "
            f"make its folder writable, and run the same command again.{kept}"
        )

    def _check(self) -> set[tuple[str, int]]:
        with reading(self.path) as file:
            _compare(self.path, origin_in(file), self.origin)
            return keys_in(file)

    def _update(self, *, complete: bool) -> None:
        import h5py

        begun = time.monotonic()
        try:
            with replacing(self.path) as partial:
                shutil.copyfile(self.path, partial)
                with h5py.File(partial, "r+") as file:
                    _append(file, self._waiting)
                    if complete:
                        _sort(file)
                    file.attrs["complete"] = complete
        except (OSError, RuntimeError) as error:
            raise self._unwritable(error) from error
        self._waiting = []
        self._written = time.monotonic()
        self._took = self._written - begun


def _compare(path: Path, before: Origin, now: Origin) -> None:
    """Refuse to go on with features of another origin."""
    one, other = before.binding, now.binding
    differ = sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
    if differ:
        told = "; ".join(f"{key} was {one.get(key)!r}, is now {other.get(key)!r}" for key in differ)
        raise FeatureStoreError(
            f"{path} was made with other settings ({told}): go on with those, or give another file."
        )


def _append(file: Any, rows: Sequence[Row]) -> None:
    if not rows:
        return
    frames = [len(row.frame_weights) for row in rows]
    first = len(file["frame_weights"]) + np.cumsum([0, *frames[:-1]])
    columns: dict[str, Any] = {
        "features": np.stack([row.feature for row in rows]),
        "frames": frames,
        "first_frame": first,
        "frame_weights": np.concatenate([row.frame_weights for row in rows]),
    }
    for name in ("split", "index", "pid", "camid", "name", "clips"):
        columns[name] = [getattr(row, name) for row in rows]
    for name, values in columns.items():
        held = len(file[name])
        file[name].resize((held + len(values), *np.shape(values)[1:]))
        file[name][held:] = values


def _sort(file: Any) -> None:
    """Put the rows into the order of the dataset."""
    splits, index = texts(file, "split"), file["index"][:]
    order = np.lexsort((index, np.array([SPLITS.index(split) for split in splits], dtype=int)))
    if (order == np.arange(len(order))).all():
        return
    first, frames = file["first_frame"][:][order], file["frames"][:][order]
    weights = file["frame_weights"][:]
    moved: Iterable[Any] = [weights[s : s + n] for s, n in zip(first, frames, strict=True)]
    for name in COLUMNS:
        file[name][:] = file[name][:][order]
    file["first_frame"][:] = np.cumsum(frames) - frames
    file["frame_weights"][:] = np.concatenate(list(moved))


def _rows_in(file: Any) -> Iterable[Row]:
    weights, first, frames = (file[n][:] for n in ("frame_weights", "first_frame", "frames"))
    columns = [texts(file, "split"), *(file[n][:] for n in ("index", "pid", "camid"))]
    columns += [texts(file, "name"), file["features"][:].astype(np.float32), file["clips"][:]]
    for place, values in enumerate(zip(*columns, strict=True)):
        split, index, pid, camid, name, feature, clips = values
        yield Row(
            split,
            int(index),
            int(pid),
            int(camid),
            name,
            feature,
            int(clips),
            weights[first[place] : first[place] + frames[place]],
        )
