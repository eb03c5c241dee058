"""Non-local block: every position attends to every other one."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

_CONVOLUTIONS = {1: nn.Conv1d, 3: nn.Conv3d}
_NORMS = {1: nn.BatchNorm1d, 3: nn.BatchNorm3d}


class NonLocalBlock(nn.Module):
    r"""Self-attention over all positions of a signal, added to it.

    .. math::
        y = x + \mathrm{BN}\big(W \, g(x) \, \mathrm{softmax}(\theta(x)^\top \phi(x))^\top\big)

    All four layers are 1×1 convolutions with bias; inside there are half as many channels. The norm
    starts at weight 0, so that the block starts as the identity. The softmax is not scaled.

    Reference:
        Wang et al. Non-local Neural Networks. CVPR 2018. arXiv:1711.07971 (embedded Gaussian).

    Args:
        channels: C, the number of channels.
        dimensions: the number of dimensions of a position: 1 for time, 3 for time and space.

    Shape:
        - Input: :math:`(B, C, T)`, or :math:`(B, C, T, h, w)` with three dimensions
        - Output: the same

    Examples:
        >>> import torch
        >>> x = torch.rand(2, 8, 5)
        >>> bool((NonLocalBlock(8, dimensions=1)(x) == x).all())
        True
    """

    def __init__(self, channels: int, dimensions: int = 3) -> None:
        super().__init__()
        convolution, inner = _CONVOLUTIONS[dimensions], channels // 2
        self.theta = convolution(channels, inner, 1)
        self.phi = convolution(channels, inner, 1)
        self.g = convolution(channels, inner, 1)
        self.out = convolution(inner, channels, 1)
        self.norm = _NORMS[dimensions](channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Add to every position what it takes of all positions."""
        theta, phi, g = (
            layer(x).flatten(2).transpose(1, 2) for layer in (self.theta, self.phi, self.g)
        )  # (B, N, C/2) each
        taken = F.scaled_dot_product_attention(theta, phi, g, scale=1.0)  # (B, N, C/2)
        arranged = taken.transpose(1, 2).reshape(len(x), -1, *x.shape[2:])  # (B, C/2, ...)
        added: Tensor = self.norm(self.out(arranged))
        return x + added
