"""Reading a feature store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from nr3d.data.datasets.parts import SPLITS
from nr3d.errors import FeatureStoreError
from nr3d.features import TrackletFeatures
from nr3d.features.store.contents import reading
from nr3d.features.store.layout import Floats, Origin
from nr3d.metrics import Labels
from nr3d.models import AttentionHealth


class FeatureStore:
    """Features of a dataset's tracklets, which ``nr3d extract`` stores in an HDF5 file.

    The layout of the file is described in :mod:`nr3d.features.store.layout`. The file holds whole
    rows at every moment, so that it can be read while it is being written. Everything that is read
    is checked against its CRC-32, except in stores of version 1, which have none.

    Args:
        path: file of the store.

    Attributes:
        version: version of the layout, 1 or 2.
        origin: dataset, weights and settings that the features were made with.
        counts: number of rows of each split in the store; a split without rows is left out.
        expected: number of rows of each requested split when it is complete; empty for version 1.
        complete: whether all requested splits are complete; False for version 1, which does not
            record how many rows it should have.

    Raises:
        FeatureStoreError: if the file is missing, damaged, or of another format or version.

    Examples:
        >>> from nr3d.features import FeatureWriter, Origin
        >>> tracklets = {"train": 0, "query": 1980, "gallery": 0}
        >>> origin = Origin("mars", "model.pth", "ab" * 32, {}, {}, {}, tracklets)
        >>> with FeatureWriter("features.h5", origin, ["query"]) as writer:
        ...     pass  # the place of writer.append(row)
        >>> store = FeatureStore("features.h5")
        >>> store.counts, store.expected, store.complete
        ({}, {'query': 1980}, False)
        >>> store.require("query")
        Traceback (most recent call last):
        nr3d.errors.FeatureStoreError: features.h5 has 0 of 1980 query tracklets: run the nr3d \
extract that makes it again, with --split query. It extracts only what is missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with reading(self.path) as contents:
            header = contents.header
            counts = Counter(split for split, _ in contents.all_keys())
        self.version = header.version
        self.origin: Origin = header.origin
        self.counts: dict[str, int] = {split: counts[split] for split in SPLITS if counts[split]}
        self.expected: dict[str, int] = {
            split: self.origin.tracklets[split] for split in header.asked
        }
        self.complete = self.version > 1 and all(
            counts[split] == number for split, number in self.expected.items()
        )

    def require(self, *splits: str) -> None:
        """Check that the store holds all tracklets of some splits.

        Args:
            *splits: splits that must be complete: ``'train'``, ``'query'`` or ``'gallery'``.

        Raises:
            FeatureStoreError: if a split is missing or incomplete, with the counts, or if the store
                does not record how many tracklets it should have.
            KeyError: if there is no such split.
        """
        for split in splits:
            _known(split)
        again = f"with --split {','.join(splits)}. It extracts only what is missing."
        absent = [split for split in splits if split not in self.counts | self.expected]
        if absent:
            raise FeatureStoreError(
                f"{self.path} has no {' and no '.join(absent)}: run the nr3d extract that makes it "
                f"(again), {again}"
            )
        if self.version == 1:
            raise FeatureStoreError(
                f"{self.path} was written by an older nr3d and does not say how many tracklets it "
                f"should have: run the nr3d extract that made it once more, {again}"
            )
        lacking = [
            f"{self.counts.get(split, 0)} of {number} {split}"
            for split in splits
            if self.counts.get(split, 0) != (number := self.origin.tracklets[split])
        ]
        if lacking:
            raise FeatureStoreError(
                f"{self.path} has {' and '.join(lacking)} tracklets: run the nr3d extract that "
                f"makes it again, {again}"
            )

    def keys(self) -> set[tuple[str, int]]:
        """Return the split and index of every row."""
        with reading(self.path) as contents:
            return set(contents.all_keys())

    def load(self, split: str) -> TrackletFeatures:
        """Read the features of a split, in the order of the dataset and in float32.

        Only the rows that exist are returned; :meth:`require` checks that the split is complete.

        Args:
            split: ``'train'``, ``'query'`` or ``'gallery'``.

        Raises:
            FeatureStoreError: if the file cannot be read, or a row of the split is damaged.
            KeyError: if there is no such split.
        """
        _known(split)
        with reading(self.path) as contents:
            places = contents.places(split)
            features, weights = contents.read(places)
            columns = {name: column[places] for name, column in contents.columns.items()}
            return TrackletFeatures(
                torch.from_numpy(features.astype(np.float32, copy=False)),
                Labels(columns["pid"], columns["camid"]),
                clips=columns["clips"],
                frames=columns["frames"],
                names=contents.names(places),
                attention=contents.attention_of(places, weights),
            )

    @cached_property
    def attention(self) -> AttentionHealth | None:
        """Health of the attention in all tracklets; None without an attention or a clip of frames.

        A store of an earlier release does not record it, and it is computed from the weights.

        Raises:
            FeatureStoreError: if the file cannot be read, or is damaged.
        """
        with reading(self.path) as contents:
            if contents.attention is not None:
                return contents.attention
            everything = np.concatenate([contents.places(split) for split in SPLITS])
            _, weights = contents.read(everything)
            sums = contents.attention_of(everything, weights)
        return None if sums is None else sums.health

    def frame_weights(self, split: str) -> Sequence[Floats]:
        """Read the frame weights of each tracklet of a split, in the order of the dataset.

        Args:
            split: ``'train'``, ``'query'`` or ``'gallery'``.

        Returns:
            Sequence: for each tracklet the share of each frame in the feature of its clip, of shape
            (frames,).

        Raises:
            FeatureStoreError: if the file cannot be read, or a row of the split is damaged.
            KeyError: if there is no such split.
        """
        _known(split)
        with reading(self.path) as contents:
            _, weights = contents.read(contents.places(split))
        return weights


def _known(split: str) -> None:
    if split not in SPLITS:
        raise KeyError(f"Unknown split: {split!r}. Must be one of {list(SPLITS)}")
