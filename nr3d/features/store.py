"""Reading a feature store."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from nr3d.engine import TrackletFeatures
from nr3d.features.layout import SPLITS, Origin, keys_in, origin_in, reading, texts
from nr3d.metrics import Labels


class FeatureStore:
    """The features of a dataset's tracklets, as ``nr3d extract`` keeps them in an HDF5 file.

    :mod:`nr3d.features.layout` says what stands where in it. While it is written, every state of
    the file holds whole rows only, so that it can be read at any time.

    Args:
        path: the file.

    Attributes:
        origin: the weights and settings that the features were made with.
        complete: whether all that was asked for is there.
        counts: rows of each split that it holds.

    Raises:
        FeatureStoreError: if the file is missing, damaged, or of another format or version.

    Examples::
        store = nr3d.features.FeatureStore("features.h5")
        query = store.load("query")
        query.features.shape  # (Q, 2048), in the dataset's order
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with reading(self.path) as file:
            self.origin: Origin = origin_in(file)
            self.complete = bool(file.attrs["complete"])
            counts = Counter(texts(file, "split").tolist())
        self.counts: dict[str, int] = {split: counts[split] for split in SPLITS if counts[split]}

    def keys(self) -> set[tuple[str, int]]:
        """Give the split and index of every row."""
        with reading(self.path) as file:
            return keys_in(file)

    def load(self, split: str) -> TrackletFeatures:
        """Give the features of a split, in the dataset's order and in float32.

        Args:
            split: ``'train'``, ``'query'`` or ``'gallery'``.

        Raises:
            FeatureStoreError: if the file cannot be read.
            KeyError: for another split.
        """
        _known(split)
        with reading(self.path) as file:
            rows = _rows_of(texts(file, "split"), file["index"][:], split)
            names = texts(file, "name")[rows]
            return TrackletFeatures(
                torch.from_numpy(file["features"][:][rows].astype(np.float32)),
                Labels(file["pid"][:][rows], file["camid"][:][rows]),
                clips=file["clips"][:][rows],
                frames=file["frames"][:][rows],
                names=names.tolist(),
            )

    def frame_weights(self, split: str) -> list[npt.NDArray[np.float32]]:
        """Give each tracklet's frames' shares in their clips' features; as :meth:`load`."""
        _known(split)
        with reading(self.path) as file:
            rows = _rows_of(texts(file, "split"), file["index"][:], split)
            first, frames = file["first_frame"][:][rows], file["frames"][:][rows]
            weights = file["frame_weights"][:]
        return [weights[start : start + n] for start, n in zip(first, frames, strict=True)]


def _known(split: str) -> None:
    if split not in SPLITS:
        raise KeyError(f"Unknown split: {split!r}. Must be one of {list(SPLITS)}")


def _rows_of(
    splits: npt.NDArray[np.object_], index: npt.NDArray[np.int64], split: str
) -> npt.NDArray[np.intp]:
    """Give the rows of a split, in the dataset's order."""
    rows = np.flatnonzero(splits == split)
    return rows[np.argsort(index[rows])]
