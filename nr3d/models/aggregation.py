"""From the frames' feature maps to one clip feature: attention, or the mean.

Each aggregation has two stages: :meth:`of_frames` makes of every frame's map what its clip needs of
it, a few vectors, and :meth:`of_clips` makes of those the clip's feature. So a frame that stands in
several clips, or a batch whose frames belong to many clips, goes through the first stage once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ClipFeatures(NamedTuple):
    """What an aggregation gives for B clips of T frames."""

    features: Tensor
    """(B, C), the weighted mean of the frames' pooled features."""
    scores: Tensor
    """(B, T), the attention score of each frame before the softmax; never negative."""
    weights: Tensor
    """(B, T), the share of each frame in the clip feature; each row sums to 1."""


class SpatialTemporalAttention(nn.Module):
    r"""Weight a clip's frames by a two-layer spatial-temporal attention.

    .. math::
        s = \mathrm{ReLU}(\mathrm{Conv1d}(\mathrm{ReLU}(\mathrm{Conv2d}(map)))), \quad
        w = \mathrm{softmax}_t(s), \quad f = \sum_t w_t \, \mathrm{GAP}(map_t)

    The Conv2d's kernel is the whole map, so that it sees where in the frame something is; the
    Conv1d runs over time.

    Reference:
        Alsehaim and Breckon. Not 3D Re-ID: Simple Single Stream 2D Convolution for Robust Video
        Re-identification. ICPR 2020. arXiv:2008.06318. Deviation: a map of another size is first
        brought to ``map_size`` by adaptive average pooling, so that any input size works; it is
        the identity at the paper's 224×112 pixels.

    Args:
        channels: C, channels of the feature maps. Paper: 2048.
        hidden: channels between the two layers. Paper: 256.
        map_size: kernel of the spatial layer, rows and columns. Paper: (14, 7).

    Shape:
        - Input: :math:`(B, T, C, h, w)`
        - Output: :class:`ClipFeatures` of :math:`(B, C)`, :math:`(B, T)`, :math:`(B, T)`

    Raises:
        ValueError: if the input is not five-dimensional.

    Examples::
        >>> attention = SpatialTemporalAttention(512)
        >>> attention(torch.rand(2, 4, 512, 14, 7)).weights.shape
        torch.Size([2, 4])
    """

    def __init__(
        self, channels: int, hidden: int = 256, map_size: tuple[int, int] = (14, 7)
    ) -> None:
        super().__init__()
        self.map_size = map_size
        self.spatial = nn.Conv2d(channels, hidden, kernel_size=map_size)
        self.temporal = nn.Conv1d(hidden, 1, kernel_size=3, padding=1)

    def forward(self, maps: Tensor) -> ClipFeatures:
        """Aggregate the frames' maps."""
        return aggregate(self, maps)

    def of_frames(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Give what is where in maps (N, C, h, w): (N, 256), and their means: (N, C)."""
        where = F.relu(self.see(maps)).flatten(1)  # (N, 256)
        return where, maps.mean(dim=(2, 3))

    def of_clips(self, where: Tensor, pooled: Tensor) -> ClipFeatures:
        """Aggregate what :meth:`of_frames` gave, as clips (B, T, 256) and (B, T, C)."""
        over_time = where.transpose(1, 2)  # (B, 256, T)
        scores = F.relu(self.temporal(over_time)).squeeze(1)  # (B, T)
        weights = scores.softmax(dim=1)  # (B, T)
        features = torch.einsum("bt,btc->bc", weights.to(pooled.dtype), pooled)
        return ClipFeatures(features, scores, weights)

    def see(self, maps: Tensor) -> Tensor:
        """Apply the spatial layer to maps (N, C, h, w) pooled to ``map_size``: (N, 256, 1, 1)."""
        rows, columns = maps.shape[-2:]
        if (rows, columns) == self.map_size:
            seen: Tensor = self.spatial(maps)
        elif rows * columns >= self.map_size[0] * self.map_size[1]:
            seen = self.spatial(F.adaptive_avg_pool2d(maps, self.map_size))
        else:
            # Pooling is linear: rather than blow a small map up, pool the kernel to its size.
            # Row i of the matrix is what a one at place i of the map becomes.
            places = torch.eye(rows * columns, dtype=maps.dtype, device=maps.device)
            pooling = F.adaptive_avg_pool2d(places.view(-1, 1, rows, columns), self.map_size)
            kernel = self.spatial.weight.flatten(2) @ pooling.flatten(1).T  # (256, C, h·w)
            seen = F.linear(maps.flatten(1), kernel.flatten(1), self.spatial.bias)[:, :, None, None]
        return seen


class MeanAggregation(nn.Module):
    r"""Give every frame of a clip the same weight.

    .. math::
        f = \frac{1}{T} \sum_t \mathrm{GAP}(map_t)

    Args:
        channels: C, taken for the same signature as the attention's and not used.

    Shape:
        - Input: :math:`(B, T, C, h, w)`
        - Output: :class:`ClipFeatures`; the scores are zeros and the weights :math:`1/T`.

    Raises:
        ValueError: if the input is not five-dimensional.

    Examples::
        >>> MeanAggregation(512)(torch.rand(2, 4, 512, 14, 7)).features.shape
        torch.Size([2, 512])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, maps: Tensor) -> ClipFeatures:
        """Aggregate the frames' maps."""
        return aggregate(self, maps)

    def of_frames(self, maps: Tensor) -> tuple[Tensor]:
        """Give the means of maps (N, C, h, w): (N, C)."""
        return (maps.mean(dim=(2, 3)),)

    def of_clips(self, pooled: Tensor) -> ClipFeatures:
        """Aggregate what :meth:`of_frames` gave, as clips (B, T, C)."""
        clips, frames = pooled.shape[:2]
        return ClipFeatures(
            features=pooled.mean(dim=1),  # (B, C)
            scores=pooled.new_zeros(clips, frames),
            weights=pooled.new_full((clips, frames), 1 / frames),
        )


class WholeMaps(nn.Module):
    """The two stages of an aggregation that takes maps (B, T, C, h, w) and has none of its own.

    Args:
        aggregation: a module that gives :class:`ClipFeatures`.
    """

    def __init__(self, aggregation: nn.Module) -> None:
        super().__init__()
        self.aggregation = aggregation

    def of_frames(self, maps: Tensor) -> tuple[Tensor]:
        """Give the maps as they are."""
        return (maps,)

    def of_clips(self, maps: Tensor) -> ClipFeatures:
        """Aggregate maps (B, T, C, h, w)."""
        aggregated: ClipFeatures = self.aggregation(maps)
        return aggregated


def aggregate(
    aggregation: SpatialTemporalAttention | MeanAggregation, maps: Tensor
) -> ClipFeatures:
    """Apply both stages of an aggregation to maps (B, T, C, h, w).

    Raises:
        ValueError: if the maps have another number of dimensions.
    """
    if maps.dim() != 5:
        raise ValueError(f"feature maps have shape {tuple(maps.shape)}, expected (B, T, C, h, w)")
    of_frames = aggregation.of_frames(maps.flatten(0, 1))
    return aggregation.of_clips(*(part.view(*maps.shape[:2], -1) for part in of_frames))


AGGREGATIONS: dict[str, Callable[[int], nn.Module]] = {
    "attention": SpatialTemporalAttention,
    "mean": MeanAggregation,
}


def build_aggregation(name: str, channels: int) -> nn.Module:
    """Build an aggregation by its name.

    Args:
        name: one of :data:`AGGREGATIONS`.
        channels: C of the trunk's feature map.

    Raises:
        KeyError: for another name; the message lists the names.
    """
    if name not in AGGREGATIONS:
        raise KeyError(f"Unknown aggregation: {name!r}. Must be one of {sorted(AGGREGATIONS)}")
    return AGGREGATIONS[name](channels)
