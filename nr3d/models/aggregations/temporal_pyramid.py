"""Dilated convolutions over time: the temporal pyramid of GLTR and M3D."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nr3d.models.aggregations.clip_features import ClipFeatures, aggregate
from nr3d.models.aggregations.registry import register_aggregation
from nr3d.models.layers.non_local_block import NonLocalBlock

DILATIONS = (1, 2, 3)
"""Steps in frames between the three frames that a convolution of the pyramid sees."""


class TemporalPyramid(nn.Module):
    r"""Reduce frames' features and convolve them over time with growing dilation.

    .. math::
        y_t = W \, \mathrm{GAP}(map_t) + b, \quad z^d = \mathrm{Conv1d}_d(y), \quad d = 1, 2, 3

    Reference:
        Li et al. Global-Local Temporal Representations for Video Person Re-Identification.
        ICCV 2019. arXiv:1908.10049.

    Args:
        channels: C, the number of channels of the feature maps. Paper: 2048.
        reduced: the size of a frame's reduced feature. Paper: 128.

    Shape:
        - Input: frames' reduced features :math:`(B, T, 128)`, from :meth:`reduce`
        - Output: the input and its three convolutions, :math:`(B, 128, T)` each
    """

    def __init__(self, channels: int, reduced: int = 128) -> None:
        super().__init__()
        self.reduction = nn.Linear(channels, reduced)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(reduced, reduced, 3, padding=step, dilation=step, bias=False)
            for step in DILATIONS
        )

    def reduce(self, maps: Tensor) -> Tensor:
        """Return the reduced features (N, 128) of maps (N, C, h, w)."""
        pooled = maps.mean(dim=(2, 3)).to(self.reduction.weight.dtype)  # (N, C)
        reduced: Tensor = self.reduction(pooled)
        return reduced

    def forward(self, frames: Tensor) -> list[Tensor]:
        """Return the levels of the pyramid."""
        over_time = frames.transpose(1, 2)  # (B, 128, T)
        return [over_time, *(each(over_time) for each in self.convolutions)]


class _OnPyramid(nn.Module):
    """An aggregation of the levels of a temporal pyramid."""

    on_maps = ()
    """No layer works on whole maps; maps are accepted in the trunk's precision."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pyramid = TemporalPyramid(channels)
        self.feature_dim = 4 * self.pyramid.reduction.out_features

    def forward(self, maps: Tensor) -> ClipFeatures:
        """Aggregate the frames' maps."""
        return aggregate(self, maps)

    def of_frames(self, maps: Tensor) -> tuple[Tensor]:
        """Return the reduced features (N, 128) of maps (N, C, h, w)."""
        return (self.pyramid.reduce(maps),)

    def of_clips(self, reduced: Tensor) -> ClipFeatures:
        """Aggregate the output of :meth:`of_frames`, arranged by clip: (B, T, 128)."""
        features = self.over_time(torch.cat(self.pyramid(reduced), dim=1))  # (B, 512)
        return ClipFeatures.of_equal_frames(features, reduced.shape[1])

    def over_time(self, levels: Tensor) -> Tensor:
        """Return features (B, 512) from the joined levels of the pyramid, (B, 512, T)."""
        raise NotImplementedError


@register_aggregation("temporal_pyramid")
class PyramidMean(_OnPyramid):
    r"""Mean over time of the levels of a temporal pyramid, as M3D aggregates.

    .. math::
        f = \frac{1}{T} \sum_t [\, y_t, z^1_t, z^2_t, z^3_t \,]

    Reference:
        Li et al. Multi-scale Temporal Cues Learning for Video Person Re-Identification. IEEE
        Transactions on Image Processing 29, 2020.

    The argument is that of :class:`GlobalLocal`.

    Attributes:
        feature_dim: D, 512.

    Shape:
        - Input: :math:`(B, T, C, h, w)`
        - Output: :class:`ClipFeatures` of :math:`(B, 512)`; the scores are zeros and the weights
          :math:`1/T`.

    Raises:
        ValueError: if the input is not five-dimensional.

    Examples:
        >>> PyramidMean(2048)(torch.rand(2, 4, 2048, 14, 7)).features.shape
        torch.Size([2, 512])
    """

    def over_time(self, levels: Tensor) -> Tensor:
        """Return the mean over time of (B, 512, T)."""
        return levels.mean(dim=2)


@register_aggregation("gltr")
class GlobalLocal(_OnPyramid):
    r"""Temporal self-attention over the levels of a temporal pyramid, then the mean over time.

    .. math::
        x_t = [\, y_t, z^1_t, z^2_t, z^3_t \,], \quad
        A = \mathrm{softmax}(\theta(x)^\top \phi(x)), \quad
        f = \frac{1}{T} \sum_t \big( x_t + \mathrm{BN}(W \sum_s A_{ts} \, g(x_s)) \big)

    The norm of the self-attention starts at 0, so that the aggregation starts as the mean of the
    pyramid's levels.

    Reference:
        Li et al. Global-Local Temporal Representations for Video Person Re-Identification.
        ICCV 2019. arXiv:1908.10049.

    Args:
        channels: C, the number of channels of the feature maps. Paper: 2048.

    Attributes:
        feature_dim: D, 512.

    Shape:
        - Input: :math:`(B, T, C, h, w)`
        - Output: :class:`ClipFeatures` of :math:`(B, 512)`; the scores are zeros and the weights
          :math:`1/T`, as every frame's output counts the same.

    Raises:
        ValueError: if the input is not five-dimensional.

    Examples:
        >>> GlobalLocal(2048)(torch.rand(2, 16, 2048, 16, 8)).features.shape
        torch.Size([2, 512])
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.attention = NonLocalBlock(self.feature_dim, dimensions=1)

    def over_time(self, levels: Tensor) -> Tensor:
        """Return the mean over time of the self-attention's output on (B, 512, T)."""
        attended: Tensor = self.attention(levels)
        return attended.mean(dim=2)
