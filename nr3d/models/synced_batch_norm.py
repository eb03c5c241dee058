"""Batch normalisation by the batch of all processes of a run."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from nr3d.models.normalisation import Normalised, normalise


class SyncedBatchNorm(_BatchNorm):
    """Batch normalisation whose batch is that of all processes, on GPUs and processors alike.

    Parameters, buffers and their names are those of ``nn.BatchNorm2d``.

    Reference:
        Ioffe and Szegedy. Batch Normalization. ICML 2015. arXiv:1502.03167.

    Args:
        norm: the norm to take the place of, with its parameters and running moments.

    Shape:
        - Input: :math:`(N, C, H, W)` or :math:`(N, C)`
        - Output: the same

    Examples::
        >>> import torch
        >>> SyncedBatchNorm(nn.BatchNorm2d(4))(torch.rand(2, 4, 3, 3)).shape
        torch.Size([2, 4, 3, 3])
    """

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        for name, buffer in norm.named_buffers():
            setattr(self, name, buffer)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x``."""
        if not self.training:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        maps = x[:, :, None, None] if x.dim() == 2 else x
        normalised = normalise(maps, self.weight, self.bias, eps=self.eps, across=True)
        update_running_moments(self, normalised)
        return normalised.output.view_as(x)


@runtime_checkable
class AcrossProcesses(Protocol):
    """A norm that can itself take a batch to be that of all processes."""

    across: bool


def update_running_moments(norm: _BatchNorm, normalised: Normalised) -> None:
    """Let a norm's running mean and variance follow a batch's, as torch's do.

    Args:
        norm: keeps running moments.
        normalised: what the batch gave.
    """
    assert norm.running_mean is not None and norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    momentum = norm.momentum if norm.momentum is not None else 1 / int(norm.num_batches_tracked)
    unbiased = normalised.variance * (normalised.values / (normalised.values - 1))
    norm.running_mean.lerp_(normalised.mean.detach(), momentum)
    norm.running_var.lerp_(unbiased.detach(), momentum)


def synchronise_norms(module: nn.Module) -> None:
    """Let every batch norm inside a module take its batch to be that of all processes, in place.

    Args:
        module: what holds the norms; state-dict keys stay as they are.
    """
    for name, child in module.named_children():
        if isinstance(child, AcrossProcesses):
            child.across = True
        elif isinstance(child, _BatchNorm):
            setattr(module, name, SyncedBatchNorm(child))
        else:
            synchronise_norms(child)
