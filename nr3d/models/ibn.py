"""Instance-batch normalisation (IBN-a)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nr3d.models.normalisation import normalise
from nr3d.models.synced_batch_norm import update_running_moments


class IBN(nn.Module):
    r"""Normalise the first half of the channels by instance, the second half by batch.

    Instance normalisation removes what one frame's light and colour cast add, batch normalisation
    keeps what tells people apart.

    Reference:
        Pan et al. Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net.
        ECCV 2018. arXiv:1807.09441. Computed in one go by :func:`normalise`; the usual form splits
        the channels into two copies and joins the results.

    Args:
        channels: C, the number of channels; the first ``C // 2`` are normalised by instance.

    Attributes:
        across: take a batch to be that of all processes of the run; see
            :func:`synchronise_norms`.

    Shape:
        - Input: :math:`(N, C, H, W)`
        - Output: :math:`(N, C, H, W)`

    Examples::
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
        """Normalise ``x``."""
        weight = torch.cat([self.IN.weight, self.BN.weight])
        bias = torch.cat([self.IN.bias, self.BN.bias])
        instances = self.IN.num_features
        if self.training:
            normalised = normalise(
                x,
                weight,
                bias,
                instance_channels=instances,
                eps=self.BN.eps,
                across=self.across,
            )
            update_running_moments(self.BN, normalised)
            return normalised.output
        by_instance = x[:, :instances]
        wide = torch.promote_types(x.dtype, torch.float32)
        variance, mean = torch.var_mean(by_instance.to(wide), (2, 3), correction=0)  # (N, C/2)
        assert self.BN.running_mean is not None and self.BN.running_var is not None
        # The running moments are those of every instance.
        mean = torch.cat([mean, self.BN.running_mean.expand(len(x), -1)], 1)
        variance = torch.cat([variance, self.BN.running_var.expand(len(x), -1)], 1)
        scale = weight * (variance + self.BN.eps).rsqrt()  # (N, C)
        off, scale, bias = (v.to(x.dtype)[..., None, None] for v in (mean, scale, bias))
        return torch.addcmul(bias, x - off, scale)
