"""Groups of sub-features, each of which trusts frames of its own."""

from __future__ import annotations

from torch import Tensor, nn

from nr3d.models.aggregations.clip_features import ClipFeatures, aggregate
from nr3d.models.aggregations.registry import register_aggregation


@register_aggregation("group_confidence")
class GroupConfidence(nn.Module):
    r"""Split a frame's feature into groups, and pool each over time by its own confidence.

    .. math::
        x_t^g = W^g r_t + b^g, \quad w_t^g = \mathrm{softmax}_t(v^g \cdot x_t^g + c^g), \quad
        f = \Big[ \sum_t w_t^g \, x_t^g \Big]_{g = 1 \dots G}

    r is the frame's pooled map.

    Reference:
        In the place of Zhao et al. Attribute-Driven Feature Disentangling and Temporal Aggregation
        for Video Person Re-Identification. CVPR 2019, of which no code is public. Deviation: there
        each group is trained to recognise labelled attributes, and its confidence is that of the
        recognition; here no attribute labels are used, and the confidence is learnt with the rest.
        The number of groups and their size are this package's choice.

    Args:
        channels: C, the number of channels of the feature maps.
        groups: G, the number of groups.
        group_dim: the size of a group's sub-feature.

    Attributes:
        feature_dim: D, ``groups * group_dim``.

    Shape:
        - Input: :math:`(B, T, C, h, w)`
        - Output: :class:`ClipFeatures` of :math:`(B, D)`; scores and weights are the means over
          the groups.

    Raises:
        ValueError: if the input is not five-dimensional.

    Examples:
        >>> import torch
        >>> GroupConfidence(2048)(torch.rand(2, 4, 2048, 16, 8)).features.shape
        torch.Size([2, 1536])
    """

    attends = True
    """The weights are learnt."""

    on_maps = ()
    """No layer works on whole maps; maps are accepted in the trunk's precision."""

    def __init__(self, channels: int, groups: int = 6, group_dim: int = 256) -> None:
        super().__init__()
        self.groups = groups
        self.feature_dim = groups * group_dim
        self.disentangle = nn.Linear(channels, self.feature_dim)
        self.confidence = nn.Conv1d(self.feature_dim, groups, 1, groups=groups)

    def forward(self, maps: Tensor) -> ClipFeatures:
        """Aggregate the frames' maps."""
        return aggregate(self, maps)

    def of_frames(self, maps: Tensor) -> tuple[Tensor]:
        """Return the joined sub-features (N, D) of maps (N, C, h, w)."""
        pooled = maps.mean(dim=(2, 3)).to(self.disentangle.weight.dtype)  # (N, C)
        return (self.disentangle(pooled),)

    def of_clips(self, joined: Tensor) -> ClipFeatures:
        """Aggregate the output of :meth:`of_frames`, arranged by clip: (B, T, D)."""
        scores = self.confidence(joined.transpose(1, 2))  # (B, G, T)
        weights = scores.softmax(dim=2)
        groups = joined.view(*joined.shape[:2], self.groups, -1)  # (B, T, G, D/G)
        features = (weights.transpose(1, 2)[..., None].to(joined.dtype) * groups).sum(dim=1)
        return ClipFeatures(features.flatten(1), scores.mean(dim=1), weights.mean(dim=1))
