"""Folding of batch norms into the convolutions before them, for inference only."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_conv_bn_weights
from torchvision.models.resnet import BasicBlock, Bottleneck

from nr3d.models.layers.ibn import IBN
from nr3d.models.layers.synced_batch_norm import SyncedBatchNorm
from nr3d.models.trunks import CoSegmentationTrunk, FrameTrunk, M3DTrunk, NonLocalTrunk
from nr3d.models.video_reid import VideoReID

_FOLDABLE = (nn.BatchNorm2d, nn.SyncBatchNorm, SyncedBatchNorm)

_OWNERS = (
    *(FrameTrunk, M3DTrunk, CoSegmentationTrunk, NonLocalTrunk),
    *(BasicBlock, Bottleneck),
)
"""Modules in which ``bn1`` is known to follow ``conv1``, and so on."""

_PAIRS = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))
"""The convolutions of these modules and the norms after them."""


class FoldedIBN(nn.Module):
    """The remainder of an :class:`IBN` whose batch half is folded into the preceding convolution.

    It overwrites its input.

    Args:
        norm: the instance normalisation of the first channels.
    """

    def __init__(self, norm: nn.InstanceNorm2d) -> None:
        super().__init__()
        self.IN = norm

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the first channels of ``x`` in place."""
        first = x[:, : self.IN.num_features]
        first.copy_(self.IN(first))
        return x


def folded(model: VideoReID) -> VideoReID:
    r"""Copy a network and fold its trunk's batch norms into the convolutions before them.

    .. math::
        w' = w \, \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}, \quad
        b' = \beta - \mu \, \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}

    The copy returns the same features as ``model`` in eval mode, up to rounding, with half as many
    passes over memory. It cannot be trained. Only the norms of a :class:`FrameTrunk` and of
    torchvision's residual blocks are folded; of these, norms are kept if they do not follow a
    ``nn.Conv2d``, are of an unknown class, have no running moments, or if they or the convolution
    before them have hooks.

    Args:
        model: the network, which is not modified.

    Examples:
        >>> model = VideoReID(depth=18).eval()
        >>> clips = torch.rand(1, 4, 3, 224, 112)
        >>> bool((folded(model)(clips) - model(clips)).abs().max() < 1e-3)
        True
    """
    model = copy.deepcopy(model).eval()
    for owner, of_conv, of_norm in list(_pairs_in(model.backbone)):
        conv, norm = getattr(owner, of_conv, None), getattr(owner, of_norm, None)
        if type(conv) is not nn.Conv2d or _has_hooks(conv):
            continue
        if isinstance(norm, _BatchNorm):
            if type(norm) not in _FOLDABLE or norm.running_mean is None or _has_hooks(norm):
                continue
            setattr(owner, of_conv, fuse_conv_bn_eval(conv, norm))
            setattr(owner, of_norm, nn.Identity())
        elif type(norm) is IBN and not any(map(_has_hooks, norm.modules())):
            _fold_half(conv, norm)
            setattr(owner, of_norm, FoldedIBN(norm.IN))
    return model


def _pairs_in(trunk: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """Yield each convolution and the norm after it, as their owner and their two names."""
    for owner in trunk.modules():
        if type(owner) in _OWNERS:
            for of_conv, of_norm in _PAIRS:
                yield owner, of_conv, of_norm
            shortcut = getattr(owner, "downsample", None)
            if type(shortcut) is nn.Sequential:
                yield shortcut, "0", "1"


def _has_hooks(module: nn.Module) -> bool:
    """Return whether any hook observes or changes a module's forward pass."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _fold_half(conv: nn.Conv2d, norm: IBN) -> None:
    """Fold the batch half of a norm into the last channels of a convolution, in place."""
    batch: Any = norm.BN
    of_instances = torch.zeros_like(norm.IN.weight)
    # Mean 0, variance 1 and no eps leave the first channels unchanged.
    conv.weight, bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        torch.cat([of_instances, batch.running_mean]),
        torch.cat([of_instances + 1, batch.running_var + batch.eps]),
        0.0,
        torch.cat([of_instances + 1, batch.weight]),
        torch.cat([of_instances, batch.bias]),
    )
    conv.bias = bias
