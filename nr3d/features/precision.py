"""Mixed precision: the number type that a network computes in."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path

import torch

PRECISIONS = ("auto", "bf16", "fp16", "float32")
"""The names of precisions; see :class:`Precision`."""

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "float32": torch.float32}
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # the first two on x86, the last on Arm


def has_bf16(device: torch.device) -> bool:
    """Return whether a device multiplies bfloat16 in hardware, so that it is worth its rounding."""
    if device.type == "cuda":
        return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and bool(_processor_flags() & _BF16_FLAGS)


@functools.cache
def _processor_flags() -> frozenset[str]:
    """Return the first CPU's feature flags as listed by Linux; none on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return frozenset(flags.split())


class Precision:
    """The number type of a network's forward and backward pass; its weights stay float32.

    Reference:
        Micikevicius et al. Mixed Precision Training. ICLR 2018. arXiv:1710.03740.

    Args:
        name: the type: ``'bf16'``, ``'fp16'`` (with loss scaling), ``'float32'``, or ``'auto'``
            for bf16 if the device multiplies it in hardware, else fp16 on a GPU and float32 on a
            CPU.
        device: the device of the network.
        key: the name of the setting in an error. Default is ``'train.precision'``.

    Attributes:
        name: the name of the type in use, never ``'auto'``.
        dtype: the corresponding torch type.
        scaler: the loss scaler, enabled for fp16 only.

    Raises:
        ValueError: if the name is unknown.

    Examples:
        >>> precision = Precision("bf16", torch.device("cpu"))
        >>> with precision.autocast():
        ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
        torch.bfloat16
    """

    def __init__(self, name: str, device: torch.device, *, key: str = "train.precision") -> None:
        if name not in PRECISIONS:
            raise ValueError(f"{key} is {name!r}, expected one of {list(PRECISIONS)}")
        if name == "auto":
            older = "fp16" if device.type == "cuda" else "float32"
            name = "bf16" if has_bf16(device) else older
        self.name = name
        self.dtype = _TYPES[name]
        self.device = device
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which torch computes in this type."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.name != "float32")
