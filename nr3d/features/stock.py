"""Adapter of torchreid's own test loaders to the interface of :class:`nr3d.data.FrameLoader`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from nr3d.data import FrameBatch, Tracklet


class StockFrames:
    """The frames of a loader with one clip per tracklet, in the order of the tracklets.

    Args:
        loader: torchreid's loader of dicts with normalised ``img`` (B, T, 3, H, W).
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

    def clips_at_once(self, frames: int) -> int:
        """Return the loader's batch size, in clips."""
        return int(self.loader.batch_size or 1)


class StockTracklets:
    """The tracklets of such a loader, with the interface of :class:`nr3d.data.TestTracklets`.

    Args:
        dataset: torchreid's dataset, in the loader's mode.
    """

    def __init__(self, dataset: Any) -> None:
        self.tracklets: list[Tracklet] = list(dataset.data)
        self.transform = self

    def normalise(self, images: Tensor) -> Tensor:
        """Return the images unchanged: torchreid's transforms have already normalised them."""
        return images

    def clips(self, frames: int) -> list[list[int]]:
        """Return the one clip of a tracklet."""
        return [list(range(frames))]

    def settled(self, frames: int) -> int:
        """Return 0: the one clip of a tracklet takes all of its frames."""
        return 0

    def no_frame_left(self, index: int) -> AssertionError:
        """Return the error for a tracklet without frames, which torchreid's loaders never have."""
        return AssertionError(f"tracklet {index} without frames")
