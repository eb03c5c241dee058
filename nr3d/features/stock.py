"""torchreid's own test loaders, read as :class:`nr3d.data.FrameLoader` is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from nr3d.data import FrameBatch, Tracklet


class StockFrames:
    """The frames of a loader that gives one clip a tracklet, in the tracklets' order.

    Args:
        loader: gives dicts with ``img`` (B, T, 3, H, W), normalised.
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.tracklets = StockTracklets(loader.dataset)
        self.order = range(len(self.tracklets.tracklets))

    def __iter__(self) -> Iterator[FrameBatch]:
        first = 0
        for batch in self.loader:
            clips, frames = batch["img"].shape[:2]
            complete = range(first, first + clips)
            yield FrameBatch(
                img=batch["img"].flatten(0, 1),
                tracklet=torch.tensor(complete).repeat_interleave(frames),
                complete=list(complete),
                bad_frames=[],
            )
            first += clips


class StockTracklets:
    """The tracklets of such a loader, as :class:`nr3d.data.TestTracklets` are asked.

    Args:
        dataset: torchreid's, in the mode of the loader.
    """

    def __init__(self, dataset: Any) -> None:
        self.tracklets: list[Tracklet] = list(dataset.data)
        self.transform = self

    def normalise(self, images: Tensor) -> Tensor:
        """Give the images, which torchreid's transforms have normalised."""
        return images

    def clips(self, frames: int) -> list[list[int]]:
        """Give the one clip of a tracklet."""
        return [list(range(frames))]

    def no_frame_left(self, index: int) -> AssertionError:
        """Nothing: such a tracklet has its frames, or its loader has failed."""
        return AssertionError(f"tracklet {index} without frames")
