"""Rows of a feature store."""

from __future__ import annotations

from dataclasses import dataclass

from nr3d.data.datasets.parts import SPLITS
from nr3d.features.store.layout import Floats, crc32_of_row


@dataclass(frozen=True)
class Row:
    """The features of one tracklet and the facts that are stored with them.

    Args:
        split: split of the tracklet, one of :data:`nr3d.features.SPLITS`.
        index: index of the tracklet in its split, from 0.
        pid: identity of the person; in ``train`` the training label.
        camid: camera, from 0.
        name: file name of the tracklet's first frame, preceded by that of its folder.
        feature: feature of the tracklet, of shape (D,).
        clips: number of clips that the frames were divided into.
        frame_weights: share of each frame in the feature of its clip, of shape (frames,).
    """

    split: str
    index: int
    pid: int
    camid: int
    name: str
    feature: Floats
    clips: int
    frame_weights: Floats

    @property
    def key(self) -> tuple[str, int]:
        """Split and index, which identify the row."""
        return self.split, self.index

    @property
    def place(self) -> tuple[int, int]:
        """Sort key of the rows of a store: place of the split, then the index."""
        return SPLITS.index(self.split), self.index

    @property
    def frames(self) -> int:
        """Number of frames that were read."""
        return len(self.frame_weights)

    @property
    def crc32(self) -> int:
        """CRC-32 of the row, whose arrays must have the types in which they are stored."""
        facts = self.index, self.pid, self.camid, self.clips
        return crc32_of_row(
            facts, encoded(self.split), encoded(self.name), self.feature, self.frame_weights
        )


def encoded(text: str) -> bytes:
    """Encode a string as it is stored; bytes of a file name that are not UTF-8 are kept as is."""
    return text.encode("utf-8", "surrogateescape")


def decoded(data: bytes) -> str:
    """Decode a string that :func:`encoded` made."""
    return data.decode("utf-8", "surrogateescape")
