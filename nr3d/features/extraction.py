"""The features of tracklets, from full batches of their frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from nr3d import parallel
from nr3d.data import FrameLoader, Tracklet
from nr3d.features.inference import Inference
from nr3d.features.stock import StockFrames
from nr3d.metrics import Labels

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TrackletFeature:
    """What was extracted of one tracklet."""

    index: int
    """Its place in the set."""
    feature: Floats
    """(D,), pooled over its clips."""
    clips: int
    frame_weights: Floats
    """(frames,), each frame's share in its clip's feature; a clip's shares sum to 1."""


@dataclass(frozen=True)
class TrackletFeatures:
    """One feature per tracklet of a query or gallery set."""

    features: Tensor
    """(N, D)"""
    labels: Labels
    clips: npt.NDArray[np.int64]
    """(N,), clips of each tracklet."""
    frames: npt.NDArray[np.int64]
    """(N,), frames of each that were read."""
    names: Sequence[str]
    """What to call each in a message."""


def name_of(tracklet: Tracklet) -> str:
    """Name a tracklet by its first frame, within the folder of that."""
    return "/".join(tracklet[0][0].replace("\\", "/").split("/")[-2:])


def extract(
    loader: Any, inference: Inference, *, pooling: str = "avg", name: str = ""
) -> TrackletFeatures:
    """Give the feature of every tracklet of a set, in all processes of the run.

    Each process takes the tracklets that its loader gives it.

    Args:
        loader: a :class:`nr3d.data.FrameLoader`, or torchreid's loader of test tracklets.
        inference: the network.
        pooling: from a tracklet's clips to its feature: ``'avg'`` or ``'max'``.
        name: what the progress bar calls the set.

    Raises:
        DataError: if a frame, or a tracklet's every frame, cannot be read.
        ValueError: for another pooling.
    """
    frames = _frames_of(loader)
    rows = list(extract_each(frames, inference, pooling=pooling, name=name))
    rows = sorted((row for share in parallel.of_all(rows) for row in share), key=lambda r: r.index)
    tracklets = frames.tracklets.tracklets
    features = [torch.from_numpy(row.feature) for row in rows]
    return TrackletFeatures(
        torch.stack(features) if features else torch.empty(0, 0),
        Labels.of([t[1] for t in tracklets], [t[2] for t in tracklets]),
        clips=np.array([row.clips for row in rows], np.int64),
        frames=np.array([len(row.frame_weights) for row in rows], np.int64),
        names=[name_of(tracklet) for tracklet in tracklets],
    )


def extract_each(
    loader: Any, inference: Inference, *, pooling: str = "avg", name: str = ""
) -> Iterator[TrackletFeature]:
    """Give the feature of each tracklet of this process's loader, as soon as it is known.

    Arguments and errors are those of :func:`extract`.
    """
    frames = _frames_of(loader)
    return _each(frames, _Collector(frames, inference, pooling), name)


def _each(
    frames: FrameLoader | StockFrames, collector: _Collector, name: str
) -> Iterator[TrackletFeature]:
    first = parallel.world().first
    with tqdm(
        total=len(frames.order),
        desc=f"Extracting {name}",
        unit="tracklet",
        leave=False,
        disable=None if first else True,
    ) as bar:
        # A GPU works on a batch while the features of the one before it are fetched.
        waiting: _Complete | None = None
        for batch in frames:
            computed = collector.add(batch)
            for row in waiting or ():
                yield row
                bar.update()
            waiting = computed
        for row in waiting or ():
            yield row
            bar.update()


def _frames_of(loader: Any) -> FrameLoader | StockFrames:
    return loader if isinstance(loader, FrameLoader | StockFrames) else StockFrames(loader)


POOLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "avg": lambda features: features.mean(dim=0),
    "max": lambda features: features.amax(dim=0),
}
"""From a tracklet's clips (n, D) to its feature (D,)."""


class _Collector:
    """Puts what the batches give together, tracklet by tracklet."""

    def __init__(
        self, frames: FrameLoader | StockFrames, inference: Inference, pooling: str
    ) -> None:
        self.tracklets = frames.tracklets
        self.inference = inference
        if pooling not in POOLINGS:
            raise ValueError(f"pooling is {pooling!r}, expected one of {list(POOLINGS)}")
        self.pool = POOLINGS[pooling]
        self.open: dict[int, list[tuple[Tensor, ...]]] = {}

    def add(self, batch: Any) -> _Complete | None:
        """Take a batch; give the tracklets that are complete with it, if any."""
        images, of_tracklet = batch["img"], batch["tracklet"]
        if len(images):
            images = images.to(self.inference.device, non_blocking=True)
            parts = self.inference.of_frames(self.tracklets.transform.normalise(images))
            indices, counts = torch.unique_consecutive(of_tracklet, return_counts=True)
            splits = [torch.split(part, counts.tolist()) for part in parts]
            for index, *own in zip(indices.tolist(), *splits, strict=True):
                self.open.setdefault(index, []).append(tuple(own))
        complete = batch["complete"]
        for index in complete:
            if index not in self.open:
                raise self.tracklets.no_frame_left(index)
        return self._finish(complete, [self.open.pop(index) for index in complete])

    def _finish(self, indices: list[int], read: list[list[tuple[Tensor, ...]]]) -> _Complete | None:
        if not indices:
            return None
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
        # A frame that fills up its clip stands in it more than once.
        weights = torch.zeros(start, device=places.device)
        weights.index_add_(0, places.flatten(), of_clips.weights.float().flatten())
        return _Complete(indices, [len(own) for own in clips], counts, pooled, weights)


@dataclass
class _Complete:
    """Tracklets that a batch completed; the tensors may still be computed."""

    indices: list[int]
    clips: list[int]
    frames: list[int]
    features: Tensor
    """(n, D)"""
    weights: Tensor
    """(ΣF,)"""

    def __iter__(self) -> Iterator[TrackletFeature]:
        features = self.features.cpu().numpy()
        weights = np.split(self.weights.cpu().numpy(), np.cumsum(self.frames)[:-1])
        for row in zip(self.indices, features, self.clips, weights, strict=True):
            yield TrackletFeature(*row)
