"""The number format the losses add up in, whatever format their inputs came in."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def accumulation_dtype(*tensors: Tensor) -> torch.dtype:
    """Return the dtype to compute a loss of ``tensors`` in: never less than float32.

    Args:
        *tensors: The loss's floating-point inputs.

    Returns:
        float64 where any input is float64, else float32.

    Example:
        >>> accumulation_dtype(torch.zeros(2, dtype=torch.bfloat16))
        torch.float32
    """
    wide = any(tensor.dtype == torch.float64 for tensor in tensors)
    return torch.float64 if wide else torch.float32


def without_autocast(tensor: Tensor) -> AbstractContextManager[None]:
    """Return a context in which autocast leaves operations on the device of ``tensor`` alone.

    Casting inputs up is not enough on its own: inside an autocast region a matrix product casts
    its float32 operands down again.

    Args:
        tensor: Any tensor on the device concerned.

    Example:
        >>> product = torch.ones(2, 2)
        >>> with torch.autocast("cpu", dtype=torch.bfloat16), without_autocast(product):
        ...     (product @ product).dtype
        torch.float32
    """
    device = tensor.device.type
    if not torch.amp.is_autocast_available(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)
