"""SCAN's self attention: every channel chooses its frames."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from nr3d.models.aggregations.clip_features import ClipFeatures, aggregate
from nr3d.models.aggregations.registry import register_aggregation


@register_aggregation("scan_self")
class ChannelSelfAttention(nn.Module):
    r"""Weight a clip's frames in each channel by how much they agree with the clip's mean.

    .. math::
        x_t = \frac{\mathrm{BN}(W r_t)}{\lVert \mathrm{BN}(W r_t) \rVert}, \quad
        k_t = \mathrm{BN}(W' r_t), \quad
        f_c = \sum_t \mathrm{softmax}_t(\bar k_c \, k_{t,c}) \, x_{t,c}

    r is the frame's pooled map, and k̄ the mean key of the clip.

    Reference:
        Zhang et al. SCAN: Self-and-Collaborative Attention Network for Video Person
        Re-identification. IEEE Transactions on Image Processing 28, 2019. arXiv:1807.05688. Its
        collaborative half scores pairs of tracklets and needs optical flow; it is left out.

    Args:
        channels: C, the number of channels of the feature maps. Paper: 2048.
        feature_dim: D, the size of a feature. Paper: 128.

    Shape:
        - Input: :math:`(B, T, C, h, w)`
        - Output: :class:`ClipFeatures` of :math:`(B, D)`; the weights are the mean over the
          channels, and the scores zeros.

    Raises:
        ValueError: if the input is not five-dimensional.

    Examples:
        >>> import torch
        >>> ChannelSelfAttention(2048)(torch.rand(2, 4, 2048, 16, 8)).features.shape
        torch.Size([2, 128])
    """

    on_maps = ()
    """No layer works on whole maps; maps are accepted in the trunk's precision."""

    def __init__(self, channels: int, feature_dim: int = 128) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        self.value = nn.Linear(channels, feature_dim)
        self.value_norm = nn.BatchNorm1d(feature_dim)
        self.key = nn.Linear(channels, feature_dim)
        self.key_norm = nn.BatchNorm1d(feature_dim)

    def forward(self, maps: Tensor) -> ClipFeatures:
        """Aggregate the frames' maps."""
        return aggregate(self, maps)

    def of_frames(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values and keys, (N, D) each, of maps (N, C, h, w)."""
        pooled = maps.mean(dim=(2, 3)).to(self.value.weight.dtype)  # (N, C)
        return F.normalize(self.value_norm(self.value(pooled))), self.key_norm(self.key(pooled))

    def of_clips(self, values: Tensor, keys: Tensor) -> ClipFeatures:
        """Aggregate the output of :meth:`of_frames`, arranged by clip: (B, T, D) each."""
        weights = (keys.mean(dim=1, keepdim=True) * keys).softmax(dim=1)  # (B, T, D)
        of_frames = weights.mean(dim=2)  # (B, T)
        features = (weights.to(values.dtype) * values).sum(dim=1)
        return ClipFeatures(features, of_frames.new_zeros(of_frames.shape), of_frames)
