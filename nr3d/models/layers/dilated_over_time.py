"""Convolutions over time with growing dilation, added to their input."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STARTS = ("small", "zero")
"""Starts of the layer: almost the identity, or the identity from which it cannot learn."""


class DilatedOverTime(nn.Module):
    r"""Add to the maps what convolutions over time find, with dilations of 1, 2 and 3 frames.

    .. math::
        y = x + \sum_{d=1}^{3} \mathrm{ReLU}(\mathrm{BN}_d(\mathrm{Conv3d}_d(x)))

    The kernels are 3×1×1 and have no bias.

    Reference:
        Li et al. Multi-scale Temporal Cues Learning for Video Person Re-Identification. IEEE
        Transactions on Image Processing 29, 2020. Deviation: its public code starts the
        convolutions at zero, from where the ReLU lets no gradient pass, so that they stay zero.
        Here they are drawn, and the norms start at weight 0.001, which is almost the identity;
        ``start='zero'`` is the published start.

    Args:
        channels: C, the number of channels.
        start: ``'small'`` or ``'zero'``, the values that the layer starts with.

    Shape:
        - Input: maps of all frames :math:`(B T, C, h, w)`, and T
        - Output: :math:`(B T, C, h, w)`

    Raises:
        ValueError: if ``start`` is unknown.

    Examples:
        >>> x = torch.rand(8, 16, 4, 2)
        >>> bool((DilatedOverTime(16, start="zero")(x, frames=4) == x).all())
        True
    """

    def __init__(self, channels: int, start: str = "small") -> None:
        if start not in STARTS:
            raise ValueError(f"start is {start!r}, expected one of {list(STARTS)}")
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv3d(
                channels,
                channels,
                (3, 1, 1),
                padding=(step, 0, 0),
                dilation=(step, 1, 1),
                bias=False,
            )
            for step in (1, 2, 3)
        )
        self.norms = nn.ModuleList(nn.BatchNorm3d(channels) for _ in range(3))
        started, value = (self.convolutions, 0.0) if start == "zero" else (self.norms, 0.001)
        for layer in started:
            nn.init.constant_(layer.get_parameter("weight"), value)

    def forward(self, maps: Tensor, frames: int) -> Tensor:
        """Add what the convolutions find in the maps of all frames."""
        found = clips = maps.view(-1, frames, *maps.shape[1:])  # (B, T, C, h, w)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            convolved = _over_time(convolution, clips).transpose(1, 2)  # (B, C, T, h, w)
            found = found + torch.relu(norm(convolved)).transpose(1, 2)
        return found.flatten(0, 1)


def _over_time(convolution: nn.Module, clips: Tensor) -> Tensor:
    """Apply a 3×1×1 convolution to clips (B, T, C, h, w), as 1×1 convolutions of each frame.

    On CPUs, the gradient of a 3×1×1 convolution of two frames in bfloat16 is not a number.
    """
    weight = convolution.get_parameter("weight")  # (C, C, 3, 1, 1)
    (step, _, _), frames = convolution.dilation, clips.shape[1]  # type: ignore[misc]
    kernels = weight.permute(2, 0, 1, 3, 4).flatten(0, 1)  # (3·C, C, 1, 1)
    taps = F.conv2d(clips.flatten(0, 1), kernels)  # (B·T, 3·C, h, w)
    before, here, after = taps.view(*clips.shape[:2], 3, *clips.shape[2:]).unbind(2)
    output = here.clone()
    if step < frames:
        output[:, step:] += before[:, :-step]
        output[:, :-step] += after[:, step:]
    return output
