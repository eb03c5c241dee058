"""The number type that losses are computed in, whatever the type of their inputs."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def accumulation_dtype(*tensors: Tensor) -> torch.dtype:
    """Return the dtype to compute a loss of ``tensors`` in: never less than float32.

    Args:
        *tensors: floating-point inputs of the loss.

    Returns:
        torch.dtype: float64 if any input is float64, else float32.

    Examples:
        >>> accumulation_dtype(torch.zeros(2, dtype=torch.bfloat16))
        torch.float32
    """
    wide = any(tensor.dtype == torch.float64 for tensor in tensors)
    return torch.float64 if wide else torch.float32


def without_autocast(tensor: Tensor) -> AbstractContextManager[None]:
    """Return a context in which autocast does not touch operations on a tensor's device.

    Casting inputs up is not enough: inside an autocast region, a matrix product casts its float32
    operands down again.

    Args:
        tensor: any tensor on that device.

    Examples:
        >>> product = torch.ones(2, 2)
        >>> with torch.autocast("cpu", dtype=torch.bfloat16), without_autocast(product):
        ...     (product @ product).dtype
        torch.float32
    """
    device = tensor.device.type
    if not torch.amp.is_autocast_available(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)
