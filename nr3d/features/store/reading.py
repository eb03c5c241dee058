"""Reading a feature store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from nr3d.data.datasets.parts import SPLITS
from nr3d.errors import FeatureStoreError
from nr3d.features import TrackletFeatures
from nr3d.features.store.contents import reading
from nr3d.features.store.layout import Floats, Origin
from nr3d.metrics import Labels


class FeatureStore:
    """The features of a dataset's tracklets, as ``nr3d extract`` keeps them in an HDF5 file.

    :mod:`nr3d.features.store.layout` says what stands where in it. While it is written, every
    state of the file holds whole rows only, so that it can be read at any time. All that is read is
    checked by its CRC-32; a store of version 1 has none, and is read as it is.

    Args:
        path: the file.

    Attributes:
        version: of its layout.
        origin: the weights and settings that the features were made with.
        counts: rows of each split that it holds.
        expected: rows of each split that it was asked for; none in version 1.
        complete: whether all that was asked for is there; False for version 1, which cannot tell.

    Raises:
        FeatureStoreError: if the file is missing, damaged, or of another format or version.

    Examples::
        store = nr3d.features.FeatureStore("features.h5")
        store.require("query")
        query = store.load("query")
        query.features.shape  # (Q, 2048), in the dataset's order
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
        """Refuse a store in which not all tracklets of some splits are there.

        Args:
            splits: of ``'train'``, ``'query'``, ``'gallery'``.

        Raises:
            FeatureStoreError: if one is incomplete, with the counts; or if the store cannot tell.
            KeyError: for another split.
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
                f"must have: run the nr3d extract that made it once more, {again}"
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
        """Give the split and index of every row."""
        with reading(self.path) as contents:
            return set(contents.all_keys())

    def load(self, split: str) -> TrackletFeatures:
        """Give the features of a split, in the dataset's order and in float32.

        Of a split that is not whole, it gives those that are there: see :meth:`require`.

        Args:
            split: ``'train'``, ``'query'`` or ``'gallery'``.

        Raises:
            FeatureStoreError: if the file cannot be read, or a row of the split is damaged.
            KeyError: for another split.
        """
        _known(split)
        with reading(self.path) as contents:
            places = contents.places(split)
            features, _ = contents.read(places)
            columns = {name: column[places] for name, column in contents.columns.items()}
            return TrackletFeatures(
                torch.from_numpy(features.astype(np.float32, copy=False)),
                Labels(columns["pid"], columns["camid"]),
                clips=columns["clips"],
                frames=columns["frames"],
                names=contents.names(places),
            )

    def frame_weights(self, split: str) -> Sequence[Floats]:
        """Give each tracklet's frames' shares in their clips' features; as :meth:`load`."""
        _known(split)
        with reading(self.path) as contents:
            _, weights = contents.read(contents.places(split))
        return weights


def _known(split: str) -> None:
    if split not in SPLITS:
        raise KeyError(f"Unknown split: {split!r}. Must be one of {list(SPLITS)}")
