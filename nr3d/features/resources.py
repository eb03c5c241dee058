"""Memory and a compiler: what a step needs of the machine, and what to set if it lacks them."""

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
"""Words of torch's RuntimeErrors about a processor's memory, and about some of a GPU's."""


def require_compiler(device: torch.device, key: str) -> None:
    """Refuse ``torch.compile`` if it does not work, before a long run depends on it.

    It is tried on a function of one line.

    Args:
        device: the device to compile for.
        key: the name of the setting in the message.

    Raises:
        Nr3dError: if compiling fails; the message has torch's reason.
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
    """An error of ``torch.compile`` on the function that it was tried on."""


@contextlib.contextmanager
def explained(memory_key: str, *, compile_key: str, more: str = "") -> Iterator[None]:
    """Turn torch's errors about memory and compilers into one line that says what to set.

    Args:
        memory_key: the name of the setting that memory depends on.
        compile_key: the name of the setting that switches ``torch.compile`` on.
        more: further advice for when memory is short, and on how to continue.

    Raises:
        Nr3dError: if one of those errors occurs; other errors pass.
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
