"""The neck: batch normalisation between the clip feature and the classifier."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class BottleneckNorm(nn.BatchNorm1d):
    """Batch normalisation whose bias stays as it is, 0 unless weights were loaded into it.

    The bias counts among the parameters and is saved with them, but no gradient reaches it: this
    holds also after torchreid's engines, which set ``requires_grad`` on every parameter at the
    start of each epoch.

    Reference:
        Luo et al. Bag of Tricks and A Strong Baseline for Deep Person Re-identification.
        CVPRW 2019. arXiv:1903.07071.

    Args:
        channels: C, the size of the clip feature.

    Shape:
        - Input: :math:`(B, C)`
        - Output: :math:`(B, C)`

    Examples::
        >>> import torch
        >>> BottleneckNorm(512)(torch.rand(4, 512)).shape
        torch.Size([4, 512])
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.bias.requires_grad_(False)

    def forward(self, features: Tensor) -> Tensor:
        """Normalise the clip features."""
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        return F.batch_norm(
            features,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias.detach(),
            self.training,
            self.momentum or 0.0,
            self.eps,
        )
