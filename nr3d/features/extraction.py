"""Extraction of tracklets' features, in full batches of frames or clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from nr3d import parallel
from nr3d.data import FrameLoader, Tracklet
from nr3d.features.attention import AttentionSums, sums_of_tracklets
from nr3d.features.collecting import Collector, Complete, Pooling, TrackletFeature, collector_of
from nr3d.features.inference import Inference
from nr3d.features.stock import StockFrames
from nr3d.metrics import Labels

POOLINGS: dict[str, Pooling] = {
    "avg": lambda features: features.mean(dim=0),
    "max": lambda features: features.amax(dim=0),
}
"""Functions from the features of a tracklet's clips (n, D) to its own feature (D,), by name."""


@dataclass(frozen=True)
class TrackletFeatures:
    """One feature for each tracklet of a query or gallery set."""

    features: Tensor
    """(N, D)"""
    labels: Labels
    """The identity and camera of each."""
    clips: npt.NDArray[np.int64]
    """(N,), the number of clips of each."""
    frames: npt.NDArray[np.int64]
    """(N,), the number of frames read of each."""
    names: Sequence[str]
    """The name of each in messages."""
    attention: AttentionSums | None = None
    """What the weights of the frames say about the attention; None if the network has none."""


def name_of(tracklet: Tracklet) -> str:
    """Return a tracklet's name: the folder and file name of its first frame."""
    return "/".join(tracklet[0][0].replace("\\", "/").split("/")[-2:])


def extract(
    loader: Any, inference: Inference, *, pooling: str = "avg", name: str = ""
) -> TrackletFeatures:
    """Extract the feature of every tracklet of a set, in all processes of the run.

    Each process handles the tracklets of its own loader.

    Args:
        loader: a :class:`nr3d.data.FrameLoader`, or torchreid's loader of test tracklets.
        inference: the network.
        pooling: ``'avg'`` or ``'max'``, from a tracklet's clips to its feature.
        name: the name of the set in the progress bar.

    Raises:
        DataError: if a frame, or every frame of a tracklet, cannot be read.
        ValueError: if the pooling is unknown.
    """
    frames = _frames_of(loader)
    rows = list(extract_each(frames, inference, pooling=pooling, name=name))
    rows = sorted((row for share in parallel.of_all(rows) for row in share), key=lambda r: r.index)
    tracklets = frames.tracklets.tracklets
    features = [torch.from_numpy(row.feature) for row in rows]
    attention = None
    if inference.model.attends:
        shares = [row.frame_weights for row in rows]
        attention = sums_of_tracklets(shares, frames.tracklets.clips)
    return TrackletFeatures(
        torch.stack(features) if features else torch.empty(0, 0),
        Labels.of([t[1] for t in tracklets], [t[2] for t in tracklets]),
        clips=np.array([row.clips for row in rows], np.int64),
        frames=np.array([len(row.frame_weights) for row in rows], np.int64),
        names=[name_of(tracklet) for tracklet in tracklets],
        attention=attention,
    )


def extract_each(
    loader: Any, inference: Inference, *, pooling: str = "avg", name: str = ""
) -> Iterator[TrackletFeature]:
    """Yield the feature of each tracklet of this process's loader as soon as it is computed.

    Frames, or clips if the network is not frame-wise, pass through it in full batches that may
    span several tracklets; see :class:`nr3d.features.collecting.Collector`. Arguments and errors
    are those of :func:`extract`.
    """
    if pooling not in POOLINGS:
        raise ValueError(f"pooling is {pooling!r}, expected one of {list(POOLINGS)}")
    frames = _frames_of(loader)
    return _each(frames, collector_of(frames, inference, POOLINGS[pooling]), name)


def _each(
    frames: FrameLoader | StockFrames, collector: Collector, name: str
) -> Iterator[TrackletFeature]:
    first = parallel.world().first
    with tqdm(
        total=len(frames.order),
        desc=f"Extracting {name}",
        unit="tracklet",
        leave=False,
        disable=None if first else True,
    ) as bar:
        # A GPU works on one batch while the features of the previous one are fetched.
        waiting: Complete | None = None
        for computed in _computed(frames, collector):
            for row in waiting or ():
                yield row
                bar.update()
            waiting = computed
        for row in waiting or ():
            yield row
            bar.update()


def _computed(frames: FrameLoader | StockFrames, collector: Collector) -> Iterator[Complete | None]:
    for batch in frames:
        yield collector.add(batch)
    yield collector.finish()


def _frames_of(loader: Any) -> FrameLoader | StockFrames:
    return loader if isinstance(loader, FrameLoader | StockFrames) else StockFrames(loader)
