"""One tracklet of a feature store."""

from __future__ import annotations

from dataclasses import dataclass

from nr3d.data.datasets.parts import SPLITS
from nr3d.features.store.layout import Floats, crc32_of_row


@dataclass(frozen=True)
class Row:
    """One tracklet.

    Args:
        split: of :data:`nr3d.features.SPLITS`.
        index: its place there.
        pid, camid: its person (in ``train`` the training label) and camera.
        name: its first frame, within the folder of that.
        feature: (D,)
        clips: that its frames made.
        frame_weights: (frames,), each frame's share in its clip's feature.
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
        """What tells it from the others."""
        return self.split, self.index

    @property
    def place(self) -> tuple[int, int]:
        """What rows are sorted by."""
        return SPLITS.index(self.split), self.index

    @property
    def frames(self) -> int:
        """How many were read."""
        return len(self.frame_weights)

    @property
    def crc32(self) -> int:
        """What the row is checked by; its arrays must be as they are kept."""
        facts = self.index, self.pid, self.camid, self.clips
        return crc32_of_row(
            facts, encoded(self.split), encoded(self.name), self.feature, self.frame_weights
        )


def encoded(text: str) -> bytes:
    """Give a text as it is kept; a file name's bytes that are not UTF-8 are as they were."""
    return text.encode("utf-8", "surrogateescape")


def decoded(data: bytes) -> str:
    """Give the text that :func:`encoded` was given."""
    return data.decode("utf-8", "surrogateescape")
