"""Features put together tracklet by tracklet, from batches of frames or of clips."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nr3d.data import FrameLoader
from nr3d.features.inference import Inference
from nr3d.features.stock import StockFrames

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TrackletFeature:
    """The feature of one tracklet, as it was extracted."""

    index: int
    """Its place in the set."""
    feature: Floats
    """(D,), pooled over its clips."""
    clips: int
    """The number of its clips."""
    frame_weights: Floats
    """(frames,), each frame's share in its clip's feature; a clip's shares sum to 1."""


@dataclass
class Complete:
    """The features of tracklets that are complete; the tensors may still be computed."""

    indices: list[int]
    """Places in the set."""
    clips: list[int]
    """The number of clips of each."""
    frames: list[int]
    """F, the number of frames of each that were read."""
    features: Tensor
    """(n, D)"""
    weights: Tensor
    """(ΣF,)"""

    def __iter__(self) -> Iterator[TrackletFeature]:
        features = self.features.cpu().numpy()
        weights = np.split(self.weights.cpu().numpy(), np.cumsum(self.frames)[:-1])
        for row in zip(self.indices, features, self.clips, weights, strict=True):
            yield TrackletFeature(*row)


Pooling = Callable[[Tensor], Tensor]
"""From a tracklet's clips (n, D) to its feature (D,)."""


class Collector(ABC):
    """Puts what a loader's batches of frames give together, tracklet by tracklet.

    Args:
        frames: the loader.
        inference: the network.
        pool: the pooling of a tracklet's clips.
    """

    def __init__(
        self, frames: FrameLoader | StockFrames, inference: Inference, pool: Pooling
    ) -> None:
        self.tracklets = frames.tracklets
        self.inference = inference
        self.pool = pool

    def add(self, batch: Any) -> Complete | None:
        """Take a batch in; return the tracklets that are complete with it, if any.

        Args:
            batch: a :class:`nr3d.data.FrameBatch`.

        Raises:
            DataError: if no frame of a tracklet could be read.
        """
        if len(batch["img"]):
            images = batch["img"].to(self.inference.device, non_blocking=True)
            indices, counts = torch.unique_consecutive(batch["tracklet"], return_counts=True)
            self._take(images, indices.tolist(), counts.tolist())
        for index in batch["complete"]:
            if not self._has(index):
                raise self.tracklets.no_frame_left(index)
        return self._end(batch["complete"])

    def finish(self) -> Complete | None:
        """Return the tracklets that were still waiting when the last batch was in, if any."""
        return None

    @abstractmethod
    def _take(self, images: Tensor, indices: list[int], counts: list[int]) -> None:
        """Take images in that are of several tracklets, one after the other."""

    @abstractmethod
    def _has(self, index: int) -> bool:
        """Tell whether a frame of a tracklet was taken in."""

    @abstractmethod
    def _end(self, indices: list[int]) -> Complete | None:
        """Take note that these tracklets have no more frames; return those that are complete."""


class FrameCollector(Collector):
    """Collects from a frame-wise network: frames go through the trunk as they come.

    Of each frame the vectors that clips need of it are kept until its tracklet is complete.
    """

    def __init__(
        self, frames: FrameLoader | StockFrames, inference: Inference, pool: Pooling
    ) -> None:
        super().__init__(frames, inference, pool)
        self.open: dict[int, list[tuple[Tensor, ...]]] = {}

    def _take(self, images: Tensor, indices: list[int], counts: list[int]) -> None:
        parts = self.inference.of_frames(self.tracklets.transform.normalise(images))
        splits = [torch.split(part, counts) for part in parts]
        for index, *own in zip(indices, *splits, strict=True):
            self.open.setdefault(index, []).append(tuple(own))

    def _has(self, index: int) -> bool:
        return index in self.open

    def _end(self, indices: list[int]) -> Complete | None:
        if not indices:
            return None
        read = [self.open.pop(index) for index in indices]
        counts = [sum(len(some[0]) for some in own) for own in read]
        parts = [
            torch.cat([some[place] for own in read for some in own])
            for place in range(len(read[0][0]))
        ]  # (ΣF, ...) each
        clips, start = [], 0
        for count in counts:
            clips.append(torch.tensor(self.tracklets.clips(count)) + start)  # (n, T)
            start += count
        places = torch.cat(clips).to(parts[0].device)  # (Σn, T)
        of_clips = self.inference.of_clips(*(part[places] for part in parts))
        pooled = torch.stack(
            [self.pool(own) for own in torch.split(of_clips.features, [len(own) for own in clips])]
        )
        weights = _weights_of_frames(start, places, of_clips.weights)
        return Complete(indices, [len(own) for own in clips], counts, pooled, weights)


@dataclass
class _Open:
    """A tracklet, some of whose frames or clips are still to come."""

    frames: int = 0
    """The number of its frames that were taken in."""
    complete: bool = False
    """Whether these are all."""
    cut: int = 0
    """The number of its clips that were cut."""
    places: list[Sequence[int]] = field(default_factory=list)
    """The frames of each clip that was computed."""
    features: list[Tensor] = field(default_factory=list)
    """(D,), of each clip that was computed."""
    weights: list[Tensor] = field(default_factory=list)
    """(T,), of each clip that was computed."""

    @property
    def computed(self) -> bool:
        """Whether all is there."""
        return self.complete and len(self.features) == self.cut


@dataclass(frozen=True)
class _Clip:
    """A clip that waits for its batch to be full."""

    index: int
    """The place of its tracklet in the set."""
    places: Sequence[int]
    """Its frames, by their place in the tracklet."""
    start: int
    """The place of the tracklet's first frame in the row of all frames."""


class ClipCollector(Collector):
    """Collects from a network whose trunk mixes the frames of a clip: full batches of clips.

    A batch holds as many clips as there are in one of the loader's batches of N frames, at least
    one: B = max(1, N / T); the last has what is left. Clips are cut as soon as their frames are
    there, and frames are forgotten with their last clip, so that beside a batch of clips on its way
    through the network fewer than (B + 1) T + N frames are on the device, however long a tracklet
    is.
    """

    def __init__(
        self, frames: FrameLoader | StockFrames, inference: Inference, pool: Pooling
    ) -> None:
        super().__init__(frames, inference, pool)
        self.clips_at_once = frames.clips_at_once
        self.images: Tensor | None = None
        self.first = 0
        """The place of the first of these images in the row of all frames."""
        self.open: dict[int, _Open] = {}
        self.starts: dict[int, int] = {}
        """The place of each open tracklet's first frame in the row of all frames."""
        self.waiting: deque[_Clip] = deque()

    def _take(self, images: Tensor, indices: list[int], counts: list[int]) -> None:
        end = self.first + (0 if self.images is None else len(self.images))
        self.images = images if self.images is None else torch.cat([self.images, images])
        for index, count in zip(indices, counts, strict=True):
            self.starts.setdefault(index, end)
            tracklet = self.open.setdefault(index, _Open())
            tracklet.frames += count
            end += count
            self._cut(index, self.tracklets.settled(tracklet.frames))

    def _has(self, index: int) -> bool:
        return index in self.open

    def _end(self, indices: list[int]) -> Complete | None:
        for index in indices:
            self.open[index].complete = True
            self._cut(index)
        while self.waiting and len(self.waiting) >= self._clips_at_once():
            self._compute()
        self._forget()
        return self._complete()

    def finish(self) -> Complete | None:
        """Compute the last batch of clips, which need not be full."""
        if self.waiting:
            self._compute()
        self._forget()
        return self._complete()

    def _cut(self, index: int, settled: int | None = None) -> None:
        """Cut the clips of a tracklet that are not cut yet; up to some, or all."""
        tracklet = self.open[index]
        if settled is not None and settled <= tracklet.cut:
            return
        for places in self.tracklets.clips(tracklet.frames)[tracklet.cut : settled]:
            self.waiting.append(_Clip(index, places, self.starts[index]))
            tracklet.cut += 1

    def _clips_at_once(self) -> int:
        return self.clips_at_once(len(self.waiting[0].places))

    def _compute(self) -> None:
        """Compute a batch of the clips that wait."""
        count = min(len(self.waiting), self._clips_at_once())
        clips = [self.waiting.popleft() for _ in range(count)]
        places = torch.tensor([[c.start + p - self.first for p in c.places] for c in clips])
        assert self.images is not None
        frames = self.images[places.flatten().to(self.images.device)]
        images = self.tracklets.transform.normalise(frames)  # (B·T, 3, H, W)
        found = self.inference.embed(images.view(*places.shape, *images.shape[1:]))
        for clip, feature, weights in zip(clips, found.features, found.weights, strict=True):
            tracklet = self.open[clip.index]
            tracklet.places.append(clip.places)
            tracklet.features.append(feature)
            tracklet.weights.append(weights)

    def _forget(self) -> None:
        """Let go of the frames that no clip needs any more."""
        if self.images is None:
            return
        end = self.first + len(self.images)
        needed = [clip.start + min(clip.places) for clip in self.waiting]
        for index, tracklet in self.open.items():
            if not tracklet.complete:
                # Of what is there the clips that are not cut yet need the most.
                rest = self.tracklets.clips(tracklet.frames)[tracklet.cut :]
                needed += [self.starts[index] + min(places) for places in rest]
        keep = min(needed, default=end)
        if keep > self.first:
            self.images = self.images[keep - self.first :].clone() if keep < end else None
            self.first = keep

    def _complete(self) -> Complete | None:
        """Return the tracklets all of whose clips are computed, if any."""
        done = [index for index, tracklet in self.open.items() if tracklet.computed]
        if not done:
            return None
        tracklets = [self.open.pop(index) for index in done]
        for index in done:
            del self.starts[index]
        weights = [
            _weights_of_frames(own.frames, torch.tensor(own.places), torch.stack(own.weights))
            for own in tracklets
        ]
        return Complete(
            done,
            [own.cut for own in tracklets],
            [own.frames for own in tracklets],
            torch.stack([self.pool(torch.stack(own.features)) for own in tracklets]),
            torch.cat(weights),
        )


def _weights_of_frames(frames: int, places: Tensor, weights: Tensor) -> Tensor:
    """Return each frame's share in its clip's feature, (F,), from the clips' (n, T).

    A frame that fills up its clip stands in it more than once.
    """
    own = torch.zeros(frames, device=weights.device)
    return own.index_add_(0, places.to(weights.device).flatten(), weights.float().flatten())


def collector_of(
    frames: FrameLoader | StockFrames, inference: Inference, pool: Pooling
) -> Collector:
    """Return a collector of the kind that a network needs; see :class:`Collector`."""
    kind = FrameCollector if inference.frame_wise else ClipCollector
    return kind(frames, inference, pool)
