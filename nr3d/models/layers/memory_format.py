"""Channels-last memory format for 2-D and 3-D networks."""

from __future__ import annotations

import torch
from torch import nn

_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
"""Torch's memory formats by number of dimensions."""


def channels_innermost(module: nn.Module) -> None:
    """Convert the kernels of 2-D and 3-D convolutions to channels-last format, in place.

    ``module.to(memory_format=torch.channels_last)`` rejects modules with 3-D kernels.

    Args:
        module: a network or a part of one; its parameters remain the same objects.

    Examples:
        >>> network = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv3d(8, 8, 3))
        >>> channels_innermost(network)
        >>> network[0].weight.is_contiguous(memory_format=torch.channels_last)
        True
    """
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.dim() in _FORMATS:
            tensor.data = tensor.data.to(memory_format=_FORMATS[tensor.dim()])
