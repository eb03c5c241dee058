"""The method's spatial-temporal attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nr3d.config.aggregation import ATTENTION, LIVE_ATTENTION
from nr3d.models.aggregations.clip_features import ClipFeatures, aggregate
from nr3d.models.aggregations.registry import register_aggregation


@register_aggregation(ATTENTION)
class SpatialTemporalAttention(nn.Module):
    r"""Weight a clip's frames by two-layer spatial-temporal attention.

    .. math::
        s = \mathrm{ReLU}(\mathrm{Conv1d}(\mathrm{ReLU}(\mathrm{Conv2d}(map)))), \quad
        w = \mathrm{softmax}_t(s), \quad f = \sum_t w_t \, \mathrm{GAP}(map_t)

    The Conv2d's kernel covers the whole map, so that it sees where things are in the frame; the
    Conv1d runs over time.

    Reference:
        Alsehaim and Breckon. Not 3D Re-ID: Simple Single Stream 2D Convolution for Robust Video
        Re-identification. ICPR 2020. arXiv:2008.06318. Deviation: maps of other sizes are first
        resized to ``map_size`` by adaptive average pooling, so that any input size works; at the
        paper's 224×112 pixels this is the identity.

    Args:
        channels: C, the number of channels of the feature maps. Paper: 2048.
        hidden: the number of channels between the two layers. Paper: 256.
        map_size: the kernel size of the spatial layer, in rows and columns. Paper: (14, 7).

    Shape:
        - Input: :math:`(B, T, C, h, w)`
        - Output: :class:`ClipFeatures` of :math:`(B, C)`, :math:`(B, T)`, :math:`(B, T)`

    Raises:
        ValueError: if the input is not five-dimensional.

    Examples:
        >>> attention = SpatialTemporalAttention(512)
        >>> attention(torch.rand(2, 4, 512, 14, 7)).weights.shape
        torch.Size([2, 4])
    """

    attends = True
    """The weights are learnt."""

    on_maps = ("spatial",)
    """The only layer that works on whole maps; it runs in the trunk's precision."""

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
        """Return the spatial layer's output (N, 256) and the means (N, C) of maps (N, C, h, w)."""
        where = F.relu(self.see(maps)).flatten(1)  # (N, 256)
        return where, maps.mean(dim=(2, 3))

    def of_clips(self, where: Tensor, pooled: Tensor) -> ClipFeatures:
        """Aggregate the output of :meth:`of_frames`, arranged by clip: (B, T, 256), (B, T, C)."""
        over_time = where.transpose(1, 2)  # (B, 256, T)
        scores = self.score(self.temporal(over_time).squeeze(1))  # (B, T)
        weights = scores.softmax(dim=1)  # (B, T)
        features = torch.einsum("bt,btc->bc", weights.to(pooled.dtype), pooled)
        return ClipFeatures(features, scores, weights)

    def score(self, over_time: Tensor) -> Tensor:
        """Return the scores from the output of the temporal layer, (B, T)."""
        return F.relu(over_time)

    def see(self, maps: Tensor) -> Tensor:
        """Apply the spatial layer to maps (N, C, h, w) pooled to ``map_size``: (N, 256, 1, 1)."""
        rows, columns = maps.shape[-2:]
        if (rows, columns) == self.map_size:
            seen: Tensor = self.spatial(maps)
        elif rows * columns >= self.map_size[0] * self.map_size[1]:
            seen = self.spatial(F.adaptive_avg_pool2d(maps, self.map_size))
        else:
            # Pooling is linear: instead of enlarging a small map, pool the kernel to its size.
            # Row i of the matrix is what a one-hot map with its 1 at position i becomes.
            places = torch.eye(rows * columns, dtype=maps.dtype, device=maps.device)
            pooling = F.adaptive_avg_pool2d(places.view(-1, 1, rows, columns), self.map_size)
            kernel = self.spatial.weight.flatten(2) @ pooling.flatten(1).T  # (256, C, h·w)
            seen = F.linear(maps.flatten(1), kernel.flatten(1), self.spatial.bias)[:, :, None, None]
        return seen


@register_aggregation(LIVE_ATTENTION)
class LiveAttention(SpatialTemporalAttention):
    r"""Spatial-temporal attention that keeps learning: the same layers, without the last ReLU.

    .. math::
        s = \mathrm{Conv1d}(\mathrm{ReLU}(\mathrm{Conv2d}(map))), \quad
        w = \mathrm{softmax}_t(s), \quad f = \sum_t w_t \, \mathrm{GAP}(map_t)

    In the published form nothing holds the level of the scores up, since the softmax depends on
    their differences only, while the erasing-attention loss pushes them down. Once they are 0 in
    all frames, the ReLU passes no gradient and the attention is the mean. Here the scores have no
    lower bound, and the erasing-attention loss is taken on the weights, whose sum is fixed.

    Arguments, shapes and errors are those of :class:`SpatialTemporalAttention`.

    Reference:
        Alsehaim and Breckon, as for :class:`SpatialTemporalAttention`. Deviation: no ReLU on the
        scores; the erasing-attention loss on the weights.

    Examples:
        >>> attention = LiveAttention(512)
        >>> found = attention(torch.rand(2, 4, 512, 14, 7))
        >>> torch.equal(found.weights, found.scores.softmax(dim=1))
        True
    """

    starts_from = (ATTENTION,)
    erasing_on = "weights"

    def score(self, over_time: Tensor) -> Tensor:
        """Return the scores from the output of the temporal layer, (B, T), as they are."""
        return over_time
