"""Parts of networks as a package of somebody else's has them; run, the command line with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

import nr3d
from nr3d.host import torchreid
from nr3d.models import AGGREGATIONS, ARCHITECTURES, TRUNKS, ClipFeatures


class SmallTrunk(nn.Module):
    """A 3-D convolution over the clip, or with ``over=1`` over each frame alone.

    Args:
        over: how many frames the kernel sees.
        every: the step over time; T' = T / every.
    """

    tensors_by = ("over",)

    def __init__(self, over: int = 3, every: int = 1, last_relu: bool = True) -> None:
        super().__init__()
        self.channels = 8
        self.frame_wise = over == 1
        self.last_relu = last_relu
        padding, stride = (over // 2, 2, 2), (every, 4, 4)
        self.conv1 = nn.Conv3d(3, 8, (over, 5, 5), stride, padding, bias=False)
        self.bn1 = nn.BatchNorm3d(8)

    def forward(self, images: Tensor) -> Tensor:
        clips = images[:, None] if self.frame_wise else images  # (B, T, 3, H, W)
        maps = self.bn1(self.conv1(clips.transpose(1, 2))).relu()  # (B, C, T', h, w)
        maps = maps.transpose(1, 2)  # (B, T', C, h, w)
        return maps[:, 0] if self.frame_wise else maps


class Greatest(nn.Module):
    """The greatest value of each channel over the frames: no parameters, one stage."""

    starts_from = ("mean",)

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, maps: Tensor) -> ClipFeatures:
        pooled = maps.mean((3, 4))  # (B, T, C)
        weights = torch.full(pooled.shape[:2], 1 / pooled.shape[1], device=maps.device)
        return ClipFeatures(pooled.amax(dim=1), torch.zeros_like(weights), weights)


class Gated(nn.Module):
    """A gate over the frames, in two stages, with parameters."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(channels, 1, 1)

    def forward(self, maps: Tensor) -> ClipFeatures:
        parts = self.of_frames(maps.flatten(0, 1))
        return self.of_clips(*(part.unflatten(0, maps.shape[:2]) for part in parts))

    def of_frames(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        return self.gate(maps).mean((2, 3)), maps.mean((2, 3))

    def of_clips(self, gates: Tensor, pooled: Tensor) -> ClipFeatures:
        scores = gates.squeeze(-1).relu()
        weights = scores.softmax(1)
        return ClipFeatures((weights[..., None] * pooled).sum(1), scores, weights)


@contextmanager
def registered() -> Iterator[None]:
    """Register all of these, and in the end let nobody know them any more."""
    nr3d.models.register_trunk("small")(SmallTrunk)
    for name, aggregation in (("greatest", Greatest), ("gated", Gated)):
        nr3d.models.register_aggregation(name)(aggregation)
    for name, options in (
        ("small_frames", {"over": 1}),
        ("small_clips", {"over": 3}),
        ("small_halves", {"over": 3, "every": 2}),
    ):
        nr3d.models.register_architecture(name, "small", options, summary="a small one")
    try:
        yield
    finally:
        for name in ("small_frames", "small_clips", "small_halves"):
            ARCHITECTURES.remove(name)
            getattr(torchreid.models, "__model_factory").pop(name)
        for name in ("greatest", "gated"):
            AGGREGATIONS.remove(name)
        TRUNKS.remove("small")


if __name__ == "__main__":
    from nr3d.cli import main

    with registered():
        raise SystemExit(main())
