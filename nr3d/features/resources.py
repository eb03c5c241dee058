"""What a step takes of the machine, memory and a compiler, and what to do where it lacks them."""

from __future__ import annotations

import contextlib
import functools
import secrets
from collections.abc import Iterator

import torch
from torch import Tensor

from nr3d.errors import Nr3dError, reason_of

_COMPILERS = ("torch._dynamo", "torch._inductor", "triton")
_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")
"""What torch says, in a RuntimeError, of a processor's memory and of some of a GPU's."""


def require_compiler(device: torch.device, key: str) -> None:
    """Refuse ``torch.compile`` where it does not work, before hours depend on it.

    A function of one line is compiled.

    Args:
        device: what is compiled for.
        key: what the message calls the setting.

    Raises:
        Nr3dError: with torch's reason.
    """
    with explained(key.replace(".compile", ".batch_size"), compile_key=key):
        _compile_something(str(device))


@functools.cache
def _compile_something(device: str) -> None:
    number = secrets.randbelow(1 << 30)  # no earlier run has compiled it: nothing is in a cache

    def add(x: Tensor) -> Tensor:
        return 2 * x + number

    try:
        torch.compile(add)(torch.ones(3, device=device))
    except (RuntimeError, ImportError, OSError) as error:
        raise _CompilerError(reason_of(error)) from error


class _CompilerError(RuntimeError):
    """``torch.compile`` does not work here."""


@contextlib.contextmanager
def explained(memory_key: str, *, compile_key: str, more: str = "") -> Iterator[None]:
    """Turn torch's errors of memory and of compilers into one line that says what to set.

    Args:
        memory_key: the setting that memory depends on.
        compile_key: the setting that asks for ``torch.compile``.
        more: what else helps where memory is short, and how to go on.

    Raises:
        Nr3dError: instead of those errors; others pass.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, Nr3dError):
            raise
        if _is_of_memory(error):
            raise Nr3dError(
                f"The memory is too small ({reason_of(error)}): set {memory_key} lower.{more}"
            ) from error
        if isinstance(error, _CompilerError) or type(error).__module__.startswith(_COMPILERS):
            raise Nr3dError(
                f"{compile_key} is on, and torch.compile does not work here ({reason_of(error)}): "
                f"install a C++ compiler such as g++, or set {compile_key} False."
            ) from error
        raise


def _is_of_memory(error: Exception) -> bool:
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    # A compiler that ran out of memory is not helped by smaller batches.
    if type(error).__module__.startswith(_COMPILERS):
        return False
    return any(words in str(error).lower() for words in _NO_MEMORY)
