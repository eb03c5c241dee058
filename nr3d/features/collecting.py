"""Assembly of tracklets' features from batches of frames or clips."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
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
    """The extracted feature of one tracklet."""

    index: int
    """Its position in the set."""
    feature: Floats
    """(D,), pooled over its clips."""
    clips: int
    """The number of its clips."""
    frame_weights: Floats
    """(frames,), each frame's share in its clip's feature; a clip's shares sum to 1."""


@dataclass
class Complete:
    """The features of complete tracklets; a GPU may still be computing the tensors."""

    indices: list[int]
    """Positions in the set."""
    clips: list[int]
    """The number of clips of each."""
    frames: list[int]
    """F, the number of frames read of each."""
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
"""Function from the features of a tracklet's clips (n, D) to its own feature (D,)."""


class Collector(ABC):
    """Assembles the features of tracklets from a loader's batches of frames.

    Args:
        frames: the loader.
        inference: the network.
        pool: the pooling over a tracklet's clips.
    """

    def __init__(
        self, frames: FrameLoader | StockFrames, inference: Inference, pool: Pooling
    ) -> None:
        self.tracklets = frames.tracklets
        self.inference = inference
        self.pool = pool

    def add(self, batch: Any) -> Complete | None:
        """Add a batch; return the tracklets that it completes, if any.

        Args:
            batch: a :class:`nr3d.data.FrameBatch`.

        Raises:
            DataError: if none of a tracklet's frames could be read.
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
        """Return the tracklets still pending after the last batch, if any."""
        return None

    @abstractmethod
    def _take(self, images: Tensor, indices: list[int], counts: list[int]) -> None:
        """Add the images of consecutive tracklets."""

    @abstractmethod
    def _has(self, index: int) -> bool:
        """Return whether a frame of a tracklet was added."""

    @abstractmethod
    def _end(self, indices: list[int]) -> Complete | None:
        """Mark tracklets as having no more frames; return those that are complete."""


class FrameCollector(Collector):
    """Collector for a frame-wise network: frames pass through the trunk as they arrive.

    The vectors that clips need of each frame are kept until its tracklet is complete.
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
        pooled: list[Tensor] = [parts[0]] * len(clips)
        weights = torch.zeros(start, device=parts[0].device)
        for alike in _by_length(clips):
            places = torch.cat([clips[row] for row in alike]).to(parts[0].device)  # (Σn, T)
            of_clips = self.inference.of_clips(*(part[places] for part in parts))
            weights += _weights_of_frames(start, places, of_clips.weights)
            of_each = torch.split(of_clips.features, [len(clips[row]) for row in alike])
            for row, own in zip(alike, of_each, strict=True):
                pooled[row] = self.pool(own)
        return Complete(indices, [len(own) for own in clips], counts, torch.stack(pooled), weights)


@dataclass
class _Open:
    """A tracklet that still lacks some frames or clips."""

    start: int
    """The position of its first frame in the sequence of all frames."""
    frames: int = 0
    """The number of frames added so far."""
    complete: bool = False
    """Whether these are all."""
    cut: int = 0
    """The number of clips cut so far."""
    places: list[Sequence[int]] = field(default_factory=list)
    """The frames of each computed clip."""
    features: list[Tensor] = field(default_factory=list)
    """(D,), of each computed clip."""
    weights: list[Tensor] = field(default_factory=list)
    """(T,), of each computed clip."""

    @property
    def computed(self) -> bool:
        """Whether all clips are computed."""
        return self.complete and len(self.features) == self.cut


@dataclass(frozen=True)
class _Clip:
    """A clip that waits for its batch to fill up."""

    tracklet: _Open
    """Its tracklet."""
    places: Sequence[int]
    """The positions of its frames in the tracklet."""


class ClipCollector(Collector):
    """Collector for a network whose trunk mixes the frames of a clip: it needs batches of clips.

    A batch holds as many clips as fit one of the loader's batches of N frames, but at least one:
    B = max(1, N / T); the last batch holds the remainder. Clips are cut as soon as their frames
    have arrived, and frames are dropped after their last clip. Besides the batch of clips in the
    network, the device thus holds fewer than (B + 1) T + N frames, however long the tracklets are.
    """

    def __init__(
        self, frames: FrameLoader | StockFrames, inference: Inference, pool: Pooling
    ) -> None:
        super().__init__(frames, inference, pool)
        self.clips_at_once = frames.clips_at_once
        self.images: Tensor | None = None
        self.first = 0
        """The position of the first of these images in the sequence of all frames."""
        self.open: dict[int, _Open] = {}
        self.waiting: deque[_Clip] = deque()

    def _take(self, images: Tensor, indices: list[int], counts: list[int]) -> None:
        end = self.first + (0 if self.images is None else len(self.images))
        self.images = images if self.images is None else torch.cat([self.images, images])
        for index, count in zip(indices, counts, strict=True):
            tracklet = self.open.setdefault(index, _Open(end))
            tracklet.frames += count
            end += count
            self._cut(tracklet, self.tracklets.settled(tracklet.frames))

    def _has(self, index: int) -> bool:
        return index in self.open

    def _end(self, indices: list[int]) -> Complete | None:
        for index in indices:
            tracklet = self.open[index]
            tracklet.complete = True
            self._cut(tracklet)
        while self.waiting and len(self.waiting) >= self._clips_at_once():
            self._compute()
        self._forget()
        return self._complete()

    def finish(self) -> Complete | None:
        """Compute the last batches of clips, which need not be full."""
        while self.waiting:
            self._compute()
        self._forget()
        return self._complete()

    def _cut(self, tracklet: _Open, settled: int | None = None) -> None:
        """Cut the remaining clips of a tracklet, up to number ``settled`` or all of them."""
        if settled is not None and settled <= tracklet.cut:
            return
        for places in self.tracklets.clips(tracklet.frames)[tracklet.cut : settled]:
            self.waiting.append(_Clip(tracklet, places))
            tracklet.cut += 1

    def _clips_at_once(self) -> int:
        return self.clips_at_once(len(self.waiting[0].places))

    def _compute(self) -> None:
        """Compute a batch of waiting clips, which have the length of the first."""
        length, most = len(self.waiting[0].places), self._clips_at_once()
        alike = itertools.takewhile(lambda clip: len(clip.places) == length, self.waiting)
        count = len(list(itertools.islice(alike, most)))
        clips = [self.waiting.popleft() for _ in range(count)]
        places = torch.tensor(
            [[c.tracklet.start + p - self.first for p in c.places] for c in clips]
        )
        assert self.images is not None
        frames = self.images[places.flatten().to(self.images.device)]
        images = self.tracklets.transform.normalise(frames)  # (B·T, 3, H, W)
        found = self.inference.embed(images.view(*places.shape, *images.shape[1:]))
        for clip, feature, weights in zip(clips, found.features, found.weights, strict=True):
            clip.tracklet.places.append(clip.places)
            clip.tracklet.features.append(feature)
            clip.tracklet.weights.append(weights)

    def _forget(self) -> None:
        """Drop the frames that no clip needs any more."""
        if self.images is None:
            return
        end = self.first + len(self.images)
        needed = [clip.tracklet.start + min(clip.places) for clip in self.waiting]
        for tracklet in self.open.values():
            if not tracklet.complete:
                # Clips that are not cut yet may need any of these frames.
                rest = self.tracklets.clips(tracklet.frames)[tracklet.cut :]
                needed += [tracklet.start + min(places) for places in rest]
        keep = min(needed, default=end)
        if keep > self.first:
            self.images = self.images[keep - self.first :].clone() if keep < end else None
            self.first = keep

    def _complete(self) -> Complete | None:
        """Return the tracklets whose clips are all computed, if any."""
        done = [index for index, tracklet in self.open.items() if tracklet.computed]
        if not done:
            return None
        tracklets = [self.open.pop(index) for index in done]
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


def _by_length(clips: Sequence[Tensor]) -> Iterable[list[int]]:
    """Return the positions of tracklets whose clips (n, T) have the same T, for each T."""
    found: dict[int, list[int]] = {}
    for row, own in enumerate(clips):
        found.setdefault(own.shape[1], []).append(row)
    return found.values()


def _weights_of_frames(frames: int, places: Tensor, weights: Tensor) -> Tensor:
    """Return each frame's share (F,) in its clip's feature, from the clips' weights (n, T).

    A frame that pads its clip occurs in it more than once.
    """
    own = torch.zeros(frames, device=weights.device)
    return own.index_add_(0, places.to(weights.device).flatten(), weights.float().flatten())


def collector_of(
    frames: FrameLoader | StockFrames, inference: Inference, pool: Pooling
) -> Collector:
    """Return the kind of :class:`Collector` that a network needs."""
    kind = FrameCollector if inference.frame_wise else ClipCollector
    return kind(frames, inference, pool)
