"""Frames of many test tracklets in full batches, each read once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from nr3d.data.guarded import GuardedLoader
from nr3d.data.tracklets import TestTracklets

Pixels = npt.NDArray[np.uint8]

AHEAD = 4
"""Number of batches that each loader process makes ahead."""


class FrameBatch(TypedDict):
    """Batch of frames, tracklet after tracklet; the last one may continue in the next batch."""

    img: Tensor
    """(N, H, W, 3), uint8, resized and not yet normalised frames."""
    tracklet: Tensor
    """(N,), index of the tracklet of each frame."""
    complete: list[int]
    """Indices of the tracklets whose last frame is in this batch, in order."""
    bad_frames: list[str]
    """Paths of the frames that could not be read and were left out."""


class FrameBatches(Dataset[FrameBatch]):
    """Dataset of batches of the same size, cut from the frames of tracklets in a row.

    Args:
        tracklets: the tracklets.
        order: indices of the tracklets to read, in this order.
        size: N, number of frames of a batch; the last batch has what is left.
        threads: number of threads that read a batch together.

    Raises:
        FrameError: when a batch is made, if a frame cannot be read.
    """

    def __init__(
        self, tracklets: TestTracklets, order: Sequence[int], size: int, threads: int = 1
    ) -> None:
        self.tracklets = tracklets
        self.order = list(order)
        self.size = size
        self.threads = threads
        # The end of each tracklet in the row of all frames.
        self.ends = list(accumulate(len(tracklets.positions(index)) for index in self.order))

    def __len__(self) -> int:
        return -(-self.ends[-1] // self.size) if self.ends else 0

    def __getitem__(self, batch: int) -> FrameBatch:
        wanted, complete = self._frames_of(batch)
        bad: list[str] = []

        def pixels(frame: tuple[int, int]) -> Pixels | None:
            return self.tracklets.pixels(*frame, bad)

        if self.threads > 1:
            with ThreadPoolExecutor(self.threads) as pool:  # Pillow runs without the GIL
                found = list(pool.map(pixels, wanted))
        else:
            found = [pixels(frame) for frame in wanted]
        read = [
            (index, own) for (index, _), own in zip(wanted, found, strict=True) if own is not None
        ]
        transform = self.tracklets.transform
        images = torch.empty(len(read), transform.height, transform.width, 3, dtype=torch.uint8)
        for row, (_, own) in zip(images.numpy(), read, strict=True):
            row[:] = own
        return FrameBatch(
            img=images,
            tracklet=torch.tensor([index for index, _ in read], dtype=torch.long),
            complete=complete,
            bad_frames=bad,
        )

    def _frames_of(self, batch: int) -> tuple[list[tuple[int, int]], list[int]]:
        """Return tracklet and position of each frame in a batch, and the tracklets that it ends."""
        first, last = batch * self.size, min((batch + 1) * self.size, self.ends[-1])
        wanted: list[tuple[int, int]] = []
        complete = []
        place = bisect_right(self.ends, first)
        while first < last:
            index = self.order[place]
            positions = self.tracklets.positions(index)
            start = self.ends[place] - len(positions)
            wanted += [(index, position) for position in positions[first - start : last - start]]
            first = self.ends[place]
            if first <= last:
                complete.append(index)
            place += 1
        return wanted, complete


class FrameLoader(GuardedLoader):
    """Loader of the frames of test tracklets in full batches.

    With a GPU, loader processes make batches ahead. If the CPU computes the features, they would
    cost as much time as they save; threads then read a batch when it is needed.

    A batch is a :class:`FrameBatch`. :meth:`nr3d.data.TestTracklets.clips` returns the clips that
    the frames of a tracklet make, and ``tracklets.transform.normalise`` the input of the network.

    Args:
        tracklets: the tracklets.
        order: indices of the tracklets to read, in this order. Default is all.
        frames: N, number of frames of a batch.
        workers: number of loader processes.
        threads: number of threads that read a batch together.
        pin_memory: whether to pin the memory of the batches, for a GPU.
        bad_frames: set that takes the paths of the frames that are left out.

    Raises:
        ValueError: if ``frames`` is less than 1.
    """

    def __init__(
        self,
        tracklets: TestTracklets,
        order: Sequence[int] | None = None,
        *,
        frames: int = 32,
        workers: int = 0,
        threads: int = 1,
        pin_memory: bool = False,
        bad_frames: set[str] | None = None,
    ) -> None:
        if frames < 1:
            raise ValueError(f"frames is {frames}, expected at least 1 frame a batch")
        self.tracklets = tracklets
        self.order = list(range(len(tracklets)) if order is None else order)
        self.frames = frames
        super().__init__(
            FrameBatches(tracklets, self.order, frames, threads),
            set() if bad_frames is None else bad_frames,
            batch_size=None,
            collate_fn=_as_it_is,
            batch_bytes=frames * tracklets.transform.height * tracklets.transform.width * 3,
            num_workers=workers,
            prefetch_factor=AHEAD,
            pin_memory=pin_memory,
        )

    def clips_at_once(self, frames: int) -> int:
        """Return the number of clips of some frames that make a full batch, at least one."""
        return max(1, self.frames // frames)


def _as_it_is(batch: Any) -> Any:
    return batch
