"""Writing a feature store: tracklet by tracklet, with a valid file at every moment."""

from __future__ import annotations

import json
import shutil
import time
import zlib
from collections.abc import KeysView, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from nr3d.data.datasets.parts import SPLITS
from nr3d.errors import DataError, FeatureStoreError, reason_of
from nr3d.features.attention import attends_by, sums_of_rows
from nr3d.features.store.contents import reading
from nr3d.features.store.layout import NUMBERS, TEXTS, Columns, Header, Origin, crc32_of_tables
from nr3d.features.store.row import Row, encoded
from nr3d.files import hdf5
from nr3d.files.atomic import replacing, sole_writer
from nr3d.models import AttentionHealth

if TYPE_CHECKING:
    import h5py

OFTEN = 2.0
"""Least time between two writes, in seconds; writing takes less than a twentieth of the time."""

_BLOCK = 1024
"""Number of rows that are written at once."""


class FeatureWriter:
    """Context manager that adds tracklets to a feature store.

    From time to time the whole store is written to a new file, which then replaces the old one, so
    that the file is valid whatever stops the process. The rows are held in memory.

    Args:
        path: file of the store. The rows of an existing file are kept.
        origin: dataset, weights and settings that the features are made with; those of an existing
            file must be the same.
        splits: splits to request, in addition to those requested before.

    Raises:
        FeatureStoreError: if the file is not a store, was made with other weights or settings or
            for another number of tracklets, or is being written by another process.
        ValueError: if a split is unknown.

    Examples:
        >>> import numpy as np
        >>> from nr3d.features import FeatureStore, Origin, Row
        >>> tracklets = {"train": 0, "query": 2, "gallery": 0}
        >>> origin = Origin("mars", "model.pth", "ab" * 32, {}, {}, {}, tracklets)
        >>> with FeatureWriter("features.h5", origin, ["query"]) as writer:
        ...     for index in range(2):
        ...         row = Row("query", index, 7, 0, "a.jpg", np.ones(8), 1, np.full(4, 0.25))
        ...         if row.key not in writer.keys:
        ...             writer.append(row)
        ...     writer.finish()
        >>> FeatureStore("features.h5").load("query").features.shape
        torch.Size([2, 8])
    """

    def __init__(self, path: str | Path, origin: Origin, splits: Sequence[str] = SPLITS) -> None:
        self.path = Path(path)
        if set(splits) - set(SPLITS) or origin.tracklets.keys() != set(SPLITS):
            raise ValueError(
                f"splits {list(splits)} of {list(origin.tracklets)}, expected some of {SPLITS} and "
                "the numbers of all"
            )
        self.header = Header(origin, tuple(split for split in SPLITS if split in splits))
        self._rows: list[Row] = []
        self._crc32: dict[tuple[str, int], int] = {}
        self._stored = 0
        self._current, self._room_unknown = False, True
        self._written, self._took = 0.0, 0.0
        self._sole = ExitStack()

    def __enter__(self) -> FeatureWriter:
        if self.path.is_dir():
            raise FeatureStoreError(f"{self.path} is a folder: give a file to write features into.")
        try:
            self._sole.enter_context(sole_writer(self.path))
        except BlockingIOError as error:
            raise FeatureStoreError(str(error)) from None
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            if self.path.exists():
                self._go_on()
            if not self._current:
                self.write()
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
            # Rows that were computed before an error or an interrupt are kept.
            if kind is not FeatureStoreError:
                self.finish()
        finally:
            self._sole.close()

    @property
    def keys(self) -> KeysView[tuple[str, int]]:
        """Split and index of the rows that the file has or will have."""
        return self._crc32.keys()

    @property
    def rows(self) -> Sequence[Row]:
        """Rows that the file has or will have."""
        return tuple(self._rows)

    def append(self, row: Row) -> None:
        """Add a tracklet that the store does not have yet.

        Args:
            row: features of the tracklet, converted to the types of the store.

        Raises:
            DataError: if the feature is not finite in the type of the store.
            FeatureStoreError: if the file cannot be written.
            ValueError: if the store already has the tracklet, or its splits have no such tracklet.
        """
        if row.key in self.keys or not 0 <= row.index < self._tracklets.get(row.split, 0):
            raise ValueError(f"{row.key} is there already or not one of {self._tracklets}")
        dtype = self.header.origin.dtype
        with np.errstate(over="ignore"):
            kept = replace(
                row,
                feature=np.ascontiguousarray(row.feature, np.dtype(dtype).newbyteorder("<")),
                frame_weights=np.ascontiguousarray(row.frame_weights, "<f4"),
            )
        if not (np.isfinite(kept.feature).all() and np.isfinite(kept.frame_weights).all()):
            raise DataError(
                f"The feature of {row.split} tracklet {row.name} is not finite in {dtype}: the "
                "network has diverged, its weights are damaged, or the type is too small. The "
                "features before it are kept."
            )
        if self._room_unknown:
            self._check_room(kept)
        self._hold(kept)
        if time.monotonic() - self._written > max(OFTEN, 20 * self._took):
            self.write()

    def write(self) -> None:
        """Write all rows that were appended so far.

        Raises:
            FeatureStoreError: if the disk is full or the folder is read-only; the file is left as
                it was.
        """
        begun = time.monotonic()
        self._rows.sort(key=lambda row: row.place)
        try:
            with replacing(self.path) as partial:
                hdf5.create(partial, self._fill)
        except OSError as error:
            raise self._unwritable(error) from error
        self._stored, self._current = len(self._rows), True
        self._written = time.monotonic()
        self._took = self._written - begun

    def finish(self) -> None:
        """Write the rows that are not in the file yet, if there are any."""
        if not self._current:
            self.write()

    def take_in(self, parts: Sequence[Path]) -> None:
        """Move the rows of other stores with the same origin into this one.

        All of those stores are removed afterwards, those of another origin as well, since they
        cannot be used any more.

        Args:
            parts: files of the stores; those that do not exist are skipped.

        Raises:
            FeatureStoreError: if a store cannot be read, or is being written by another process.
        """
        with ExitStack() as theirs:
            for part in parts:
                try:
                    theirs.enter_context(sole_writer(part))
                except BlockingIOError as error:
                    raise FeatureStoreError(
                        f"{error}: wait for it, or give another file."
                    ) from None
                except OSError as error:
                    raise self._unwritable(error) from error
            there = [part for part in parts if part.exists()]
            for part in there:
                with reading(part) as contents:
                    if not _differences(contents.header.origin, self.header.origin):
                        for row in contents.rows():
                            if row.key not in self.keys:
                                self._hold(row)
            self.finish()
            for part in there:
                part.unlink()

    @property
    def _tracklets(self) -> dict[str, int]:
        return {split: self.header.origin.tracklets[split] for split in self.header.asked}

    def _hold(self, row: Row) -> None:
        width = len(self._rows[0].feature) if self._rows else len(row.feature)
        if len(row.feature) != width:
            raise FeatureStoreError(
                f"{self.path} has features of {width} numbers, and {row.split} tracklet {row.name} "
                f"has {len(row.feature)}: use the network that it was made with, or give another "
                "file."
            )
        self._rows.append(row)
        self._crc32[row.key] = row.crc32
        self._current = False

    def _go_on(self) -> None:
        """Load the rows of the existing file, which keeps its origin, and update its counts."""
        now = self.header
        with reading(self.path) as contents:
            before = contents.header
            if changes := _differences(before.origin, now.origin):
                raise FeatureStoreError(
                    f"{self.path} was made with other settings ({changes}): use those, or give "
                    "another file."
                )
            if before.version > 1 and before.origin.tracklets != now.origin.tracklets:
                changes = _change(before.origin.tracklets, now.origin.tracklets)
                raise FeatureStoreError(
                    f"{self.path} was made for a {now.origin.dataset} with other numbers of "
                    f"tracklets ({changes}): restore the dataset, or give another file."
                )
            for row in contents.rows():
                self._hold(row)
        asked = tuple(split for split in SPLITS if split in {*before.asked, *now.asked})
        beyond = [key for key in self.keys if key[1] >= now.origin.tracklets[key[0]]]
        if beyond:
            raise FeatureStoreError(
                f"{self.path} has {beyond[0][0]} tracklet {beyond[0][1]}, and "
                f"{now.origin.dataset} has {now.origin.tracklets[beyond[0][0]]} now: restore the "
                "dataset, or give another file."
            )
        if before.version == 1:
            asked = tuple(s for s in SPLITS if s in asked or any(k[0] == s for k in self.keys))
        self.header = Header(replace(before.origin, tracklets=now.origin.tracklets), asked)
        self._stored = len(self._rows)
        self._current = before == self.header

    def _check_room(self, row: Row) -> None:
        """Refuse the first row if the disk has no room for all rows."""
        whole = sum(self._tracklets.values()) * (row.feature.nbytes + row.frame_weights.nbytes)
        try:
            free = shutil.disk_usage(self.path.parent).free + self.path.stat().st_size
        except OSError:
            return
        self._room_unknown = False
        # Each new file is written beside the previous one.
        if 2 * whole > free:
            raise self._not_written(
                f"it takes about {whole:,} bytes, twice that while it is written, and {free:,} are "
                "free"
            )

    def _unwritable(self, error: Exception) -> FeatureStoreError:
        return self._not_written(getattr(error, "reason", "") or reason_of(error))

    def _not_written(self, reason: str) -> FeatureStoreError:
        kept = f" It holds {self._stored} tracklets, as before." if self._stored else ""
        return FeatureStoreError(
            f"{self.path} cannot be written ({reason}): free some space or make its folder "
            f"writable, and run the same command again.{kept}"
        )

    def _fill(self, file: h5py.File) -> None:
        import h5py

        attributes, columns, rows = self.header.attributes(), self._columns(), self._rows
        origin = self.header.origin
        # The width of an empty store is not known.
        shape = (len(rows), len(rows[0].feature) if rows else 0)
        crc32 = crc32_of_tables(attributes, columns, shape, origin.dtype)
        for name, value in attributes.items():
            text = encoded(value) if isinstance(value, str) else b""
            if text:
                _put_text(file.attrs, name, text)
            else:
                file.attrs[name] = value
        file.attrs["crc32"] = np.uint32(crc32)
        for name, column in columns.items():
            if column.dtype.kind == "S":
                column = column.astype(h5py.string_dtype("utf-8", column.dtype.itemsize))
            file.create_dataset(name, data=column)
        dtype = np.dtype(origin.dtype).newbyteorder("<")
        features = file.create_dataset("features", shape, dtype)
        frames = int(columns["frames"].sum())
        weights = file.create_dataset("frame_weights", (frames,), "<f4")
        health = self._attention()
        if health is not None:
            text = json.dumps(health.summary()).encode()
            _put_text(weights.attrs, "attention", text)
            weights.attrs["attention_crc32"] = np.uint32(zlib.crc32(text))
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            features[start : start + len(block)] = np.stack([row.feature for row in block])
            first = int(columns["first_frame"][start])
            own = np.concatenate([row.frame_weights for row in block])
            weights[first : first + len(own)] = own

    def _attention(self) -> AttentionHealth | None:
        """Return the health of the attention in all rows; None if the network does not attend."""
        settings = self.header.origin.binding
        if not attends_by(settings):
            return None
        shares = [row.frame_weights for row in self._rows]
        return sums_of_rows(settings, shares, [row.clips for row in self._rows]).health

    def _columns(self) -> Columns:
        rows = self._rows
        columns: dict[str, Any] = {
            name: np.array([getattr(row, name) for row in rows], "<i8")
            for name in NUMBERS
            if name != "first_frame"
        }
        columns["first_frame"] = np.cumsum(columns["frames"], dtype="<i8") - columns["frames"]
        for name in TEXTS:
            texts = [encoded(getattr(row, name)) for row in rows]
            columns[name] = np.array(texts, "S") if texts else np.empty(0, "S1")
        columns["crc32"] = np.array([self._crc32[row.key] for row in rows], "<u4")
        return columns


def _put_text(attributes: h5py.AttributeManager, name: str, text: bytes) -> None:
    """Write a text, which is not empty, as an attribute of fixed length."""
    import h5py

    kind = h5py.string_dtype("utf-8", len(text))
    attributes.create(name, np.bytes_(text), dtype=kind)


def _differences(before: Origin, now: Origin) -> str:
    """Describe how two origins differ; empty if their features can be in one store."""
    return _change(before.binding, now.binding)


def _change(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    differ = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    return "; ".join(f"{k} was {before.get(k)!r}, is now {now.get(k)!r}" for k in differ)
