"""Instance-batch normalisation (IBN-a)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class IBN(nn.Module):
    r"""Normalise the first half of the channels by instance, the second half by batch.

    Instance normalisation removes what one frame's light and colour cast add, batch normalisation
    keeps what tells people apart.

    Reference:
        Pan et al. Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net.
        ECCV 2018. arXiv:1807.09441.

    Args:
        channels: C, the number of channels; the first ``C // 2`` are normalised by instance.

    Shape:
        - Input: :math:`(N, C, H, W)`
        - Output: :math:`(N, C, H, W)`

    Examples::
        >>> IBN(64)(torch.rand(2, 64, 16, 8)).shape
        torch.Size([2, 64, 16, 8])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.sizes = [channels // 2, channels - channels // 2]
        # The names IN and BN are those of the published checkpoints.
        self.IN = nn.InstanceNorm2d(self.sizes[0], affine=True)
        self.BN = nn.BatchNorm2d(self.sizes[1])

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x``."""
        by_instance, by_batch = torch.split(x, self.sizes, dim=1)
        return torch.cat([self.IN(by_instance.contiguous()), self.BN(by_batch.contiguous())], dim=1)
