"""The features of a dataset's tracklets, by all processes of a run together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from nr3d import parallel
from nr3d.metrics import Labels

CLIPS_AT_ONCE = 32
"""Test clips that go through the network together, whatever the length of their tracklets."""


@dataclass(frozen=True)
class TrackletFeatures:
    """One feature per tracklet of a query or gallery set."""

    features: Tensor
    """(N, D), pooled over the tracklet's clips."""
    labels: Labels
    clips: int
    frames: int


@dataclass
class _Share:
    """What one process extracted."""

    features: list[Tensor]
    pids: list[int]
    camids: list[int]
    clips: int = 0
    frames: int = 0


@torch.inference_mode()
def extract(
    loader: Any,
    features_of: Callable[[Tensor], Tensor],
    device: torch.device,
    *,
    pooling: str = "avg",
    name: str = "",
) -> TrackletFeatures:
    """Give the feature of every tracklet of a test loader, pooled over its clips.

    With several processes each takes the tracklets that its loader gives it, every world-size-th
    from its rank on, and all get the whole.

    Args:
        loader: gives test batches as :class:`nr3d.data.ClipDataManager` describes them, or
            torchreid's with one clip a tracklet.
        features_of: clips (n, T, 3, H, W) to features (n, D).
        device: where ``features_of`` wants its clips.
        pooling: from a tracklet's clips to its feature: ``'avg'`` or ``'max'``.
        name: what the progress bar calls the set.
    """
    share = _Share([], [], [])
    first = parallel.world().first
    with tqdm(
        total=len(loader.dataset),
        desc=f"Extracting {name}",
        unit="tracklet",
        leave=False,
        disable=None if first else True,
    ) as bar:
        for data in loader:
            images, pids = data["img"], data["pid"]
            counts = data.get("num_clips", torch.ones(len(pids), dtype=torch.long))
            of_clips = torch.cat(
                [
                    features_of(some.to(device, non_blocking=True)).float().cpu()
                    for some in torch.split(images, CLIPS_AT_ONCE)
                ]
            )  # (Σn, D)
            for own in torch.split(of_clips, counts.tolist()):
                share.features.append(own.mean(dim=0) if pooling == "avg" else own.amax(dim=0))
            share.pids += pids.tolist()
            share.camids += data["camid"].tolist()
            share.clips += len(images)
            default = counts * images.shape[1]
            share.frames += int(torch.as_tensor(data.get("num_frames", default)).sum())
            bar.update(len(pids) * parallel.world().size)
    return _whole(parallel.of_all(share))


def _whole(shares: list[_Share]) -> TrackletFeatures:
    """Put the processes' shares back into the dataset's order."""
    total = sum(len(share.pids) for share in shares)
    order = [(index % len(shares), index // len(shares)) for index in range(total)]
    features = [shares[rank].features[place] for rank, place in order]
    return TrackletFeatures(
        torch.stack(features) if features else torch.empty(0, 0),
        Labels.of(
            [shares[rank].pids[place] for rank, place in order],
            [shares[rank].camids[place] for rank, place in order],
        ),
        clips=sum(share.clips for share in shares),
        frames=sum(share.frames for share in shares),
    )
