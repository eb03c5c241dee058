"""Batch normalisation over the batch of all processes of a run."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from nr3d.models.layers.normalisation import Normalised, normalise

_PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class SyncedBatchNorm(_BatchNorm):
    """Batch normalisation over the batch of all processes, on GPUs and CPUs alike.

    Parameters, buffers and their names are those of ``nn.BatchNorm2d``.

    Reference:
        Ioffe and Szegedy. Batch Normalization. ICML 2015. arXiv:1502.03167.

    Args:
        norm: the norm to replace; its parameters and running moments are kept.

    Shape:
        - Input: :math:`(N, C, H, W)`, or :math:`(N, C, ...)` with any number of dimensions
        - Output: the same

    Examples:
        >>> import torch
        >>> SyncedBatchNorm(nn.BatchNorm2d(4))(torch.rand(2, 4, 3, 3)).shape
        torch.Size([2, 4, 3, 3])
    """

    def __init__(self, norm: _BatchNorm) -> None:
        # Everything but the forward pass: the parameters that an optimizer holds and whether they
        # are learnt, buffers, hooks, mode, momentum, and attributes set by other code.
        self.__dict__.update(norm.__dict__)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x``, of shape (N, C, ...)."""
        if self.training:
            return normalise_across(self, x, self.weight, self.bias)
        # As in torch's norms, the batch's moments stand in for missing running moments.
        own = self.running_mean is None
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, own, eps=self.eps
        )


def normalise_across(
    norm: _BatchNorm, x: Tensor, weight: Tensor | None, bias: Tensor | None
) -> Tensor:
    """Normalise a training batch by that of all processes, and update the running moments.

    Args:
        norm: the norm whose eps is used and whose running moments are updated.
        x: the batch of this process, (N, C, ...).
        weight, bias: the scale and shift of every channel, (C,); None for 1 and 0.

    Raises:
        ValueError: if the whole batch has a single value per channel.
    """
    channels = x.shape[1]
    kind = torch.promote_types(x.dtype, torch.float32)
    weight = x.new_ones(channels, dtype=kind) if weight is None else weight
    bias = x.new_zeros(channels, dtype=kind) if bias is None else bias
    maps = x if x.dim() == 4 else x.reshape(len(x), channels, -1, 1)
    normalised = normalise(maps, weight, bias, eps=norm.eps, across=True)
    update_running_moments(norm, normalised)
    return normalised.output.view_as(x)


@runtime_checkable
class AcrossProcesses(Protocol):
    """A norm that is itself able to normalise by the batch of all processes."""

    across: bool
    """Whether it does so."""


def update_running_moments(norm: _BatchNorm, normalised: Normalised) -> None:
    """Update a norm's running mean and variance from a batch, as torch's norms do.

    Args:
        norm: the norm; without running moments, it is not changed.
        normalised: the normalised batch with its moments.
    """
    if norm.running_mean is None or norm.running_var is None:
        return
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    momentum = norm.momentum if norm.momentum is not None else 1 / int(norm.num_batches_tracked)
    unbiased = normalised.variance * (normalised.values / (normalised.values - 1))
    for running, now in ((norm.running_mean, normalised.mean), (norm.running_var, unbiased)):
        running.lerp_(now.detach().to(running.dtype), momentum)


def synchronise_norms(module: nn.Module) -> None:
    """Make every batch norm inside a module normalise by the batch of all processes, in place.

    Norms with an attribute ``across`` have it set; torch's own norms are replaced by a
    :class:`SyncedBatchNorm`; ``nn.SyncBatchNorm`` is kept.

    Args:
        module: the module that holds the norms; its state-dict keys do not change.

    Raises:
        ValueError: if there is a batch norm of another class, whose forward pass is unknown.
    """
    for name, child in module.named_children():
        if isinstance(child, AcrossProcesses):
            child.across = True
        elif isinstance(child, _BatchNorm) and type(child) in _PLAIN:
            setattr(module, name, SyncedBatchNorm(child))
        elif isinstance(child, _BatchNorm) and not isinstance(
            child, SyncedBatchNorm | nn.SyncBatchNorm
        ):
            raise ValueError(
                f"{type(child).__name__} is a batch norm of its own, which cannot be made to see "
                "the batch of all processes: give it an attribute `across` and act on it, or set "
                "train.sync_norms False."
            )
        else:
            synchronise_norms(child)
