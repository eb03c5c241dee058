"""Instance-batch normalisation (IBN-a)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nr3d.models.layers.normalisation import normalise
from nr3d.models.layers.synced_batch_norm import update_running_moments


class IBN(nn.Module):
    r"""Normalise the first half of the channels by instance, the second half by batch.

    Instance normalisation removes the lighting and colour cast of a single frame; batch
    normalisation keeps what distinguishes people.

    Reference:
        Pan et al. Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net.
        ECCV 2018. arXiv:1807.09441. In training, :func:`normalise` computes both at once; the
        usual form splits the channels into two copies and concatenates the results.

    Args:
        channels: C, the number of channels; the first ``C // 2`` are normalised by instance.

    Attributes:
        across: whether to normalise by the batch of all processes of the run; see
            :func:`synchronise_norms`.

    Shape:
        - Input: :math:`(N, C, H, W)`
        - Output: :math:`(N, C, H, W)`

    Examples:
        >>> IBN(64)(torch.rand(2, 64, 16, 8)).shape
        torch.Size([2, 64, 16, 8])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        # The names IN and BN are those of the published checkpoints.
        self.IN = nn.InstanceNorm2d(channels // 2, affine=True)
        self.BN = nn.BatchNorm2d(channels - channels // 2)
        self.across = False

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x``, of shape (N, C, H, W)."""
        instances = self.IN.num_features
        if self.training:
            normalised = normalise(
                x,
                torch.cat([self.IN.weight, self.BN.weight]),
                torch.cat([self.IN.bias, self.BN.bias]),
                instance_channels=instances,
                eps=self.BN.eps,
                across=self.across,
            )
            update_running_moments(self.BN, normalised)
            return normalised.output
        # Without a backward pass, torch's own norms are fast enough to be worth the copies, and
        # hooks on them, such as those of torchreid's complexity counter, are called.
        nhwc = x.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if nhwc else torch.contiguous_format
        halves = self.IN(x[:, :instances]), self.BN(x[:, instances:])
        return torch.cat([half.contiguous(memory_format=layout) for half in halves], dim=1)
