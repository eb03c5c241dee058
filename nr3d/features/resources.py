"""Clear errors for a machine that lacks memory or a compiler."""

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
"""Words in torch's RuntimeErrors about CPU memory, and in some about GPU memory."""


def require_compiler(device: torch.device, key: str) -> None:
    """Raise an error if ``torch.compile`` does not work, before a long run depends on it.

    It is tried on a one-line function.

    Args:
        device: the device to compile for.
        key: the name of the setting in the message.

    Raises:
        Nr3dError: if compilation fails; the message includes torch's reason.
    """
    with explained(key.replace(".compile", ".batch_size"), compile_key=key):
        _compile_something(str(device))


@functools.cache
def _compile_something(device: str) -> None:
    number = secrets.randbelow(1 << 30)  # new each time, so that no cache has the result

    def add(x: Tensor) -> Tensor:
        return 2 * x + number

    try:
        torch.compile(add)(torch.ones(3, device=device))
    except (RuntimeError, ImportError, OSError) as error:
        raise _CompilerError(reason_of(error)) from error


class _CompilerError(RuntimeError):
    """An error of ``torch.compile`` on the trial function."""


@contextlib.contextmanager
def explained(memory_key: str, *, compile_key: str, more: str = "") -> Iterator[None]:
    """Turn torch's errors about memory and compilers into one line that says what to set.

    Args:
        memory_key: the name of the setting that memory use depends on.
        compile_key: the name of the setting that enables ``torch.compile``.
        more: further advice for a lack of memory, such as how to continue.

    Raises:
        Nr3dError: if one of these errors occurs; other errors pass through.
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
    # Smaller batches do not help a compiler that ran out of memory.
    if type(error).__module__.startswith(_COMPILERS):
        return False
    return any(words in str(error).lower() for words in _NO_MEMORY)
