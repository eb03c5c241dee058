"""The mean over a clip's frames."""

from __future__ import annotations

from torch import Tensor, nn

from nr3d.models.aggregations.clip_features import ClipFeatures, aggregate
from nr3d.models.aggregations.registry import register_aggregation


@register_aggregation("mean")
class MeanAggregation(nn.Module):
    r"""Weight all frames of a clip equally.

    .. math::
        f = \frac{1}{T} \sum_t \mathrm{GAP}(map_t)

    Args:
        channels: C, the number of channels of the feature maps. Not used; every aggregation takes
            it.

    Shape:
        - Input: :math:`(B, T, C, h, w)`
        - Output: :class:`ClipFeatures`; the scores are zeros and the weights :math:`1/T`.

    Raises:
        ValueError: if the input is not five-dimensional.

    Examples:
        >>> import torch
        >>> MeanAggregation(512)(torch.rand(2, 4, 512, 14, 7)).features.shape
        torch.Size([2, 512])
    """

    on_maps = ()
    """No layer works on whole maps; maps are accepted in the trunk's precision."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, maps: Tensor) -> ClipFeatures:
        """Aggregate the frames' maps."""
        return aggregate(self, maps)

    def of_frames(self, maps: Tensor) -> tuple[Tensor]:
        """Return the means (N, C) of maps (N, C, h, w)."""
        return (maps.mean(dim=(2, 3)),)

    def of_clips(self, pooled: Tensor) -> ClipFeatures:
        """Aggregate the output of :meth:`of_frames`, arranged by clip: (B, T, C)."""
        return ClipFeatures.of_equal_frames(pooled.mean(dim=1), pooled.shape[1])
