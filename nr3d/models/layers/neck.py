"""The neck: batch normalisation between the clip feature and the classifier."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from nr3d.models.layers.synced_batch_norm import normalise_across


class BottleneckNorm(nn.BatchNorm1d):
    """Batch normalisation whose bias is not learnt; it is 0 unless weights were loaded into it.

    The bias is a parameter and is saved as one, but never receives a gradient, even though
    torchreid's engines set ``requires_grad`` on every parameter at the start of each epoch. With
    ``learn_bias`` it is learnt like any other.

    Reference:
        Luo et al. Bag of Tricks and A Strong Baseline for Deep Person Re-identification.
        CVPRW 2019. arXiv:1903.07071.

    Args:
        channels: C, the size of the clip feature. Paper: 2048.
        learn_bias: whether the bias is learnt. Paper: False.

    Attributes:
        across: whether to normalise by the batch of all processes of the run; see
            :func:`synchronise_norms`.

    Shape:
        - Input: :math:`(B, C)`
        - Output: :math:`(B, C)`

    Raises:
        ValueError: if a training batch is a single clip.

    Examples:
        >>> import torch
        >>> BottleneckNorm(512)(torch.rand(4, 512)).shape
        torch.Size([4, 512])
    """

    def __init__(self, channels: int, learn_bias: bool = False) -> None:
        super().__init__(channels)
        self.across = False
        self.learn_bias = learn_bias
        self.freeze()

    def freeze(self) -> None:
        """Set ``requires_grad`` back to False for a bias that is not learnt."""
        if not self.learn_bias:
            self.bias.requires_grad_(False)

    def forward(self, features: Tensor) -> Tensor:
        """Normalise clip features (B, C)."""
        bias = self.bias if self.learn_bias else self.bias.detach()
        if self.training and self.across:
            return normalise_across(self, features, self.weight, bias)
        momentum = self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if momentum is None:  # cumulative mean over all batches
                momentum = 1 / int(self.num_batches_tracked)
        return F.batch_norm(
            features,
            self.running_mean,
            self.running_var,
            self.weight,
            bias,
            self.training,
            momentum or 0.0,
            self.eps,
        )
