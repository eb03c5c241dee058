"""Checkpoint files: read weights-only, written beside and renamed into place."""

from __future__ import annotations

import contextlib
import pickle
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nr3d.atomic import replacing
from nr3d.errors import WeightsError
from nr3d.home import expanded

_STATES = ("state_dict", "model_state_dict", "model", "net")
"""Under which of these a checkpoint that holds more keeps its state dict."""


class _Dtype:
    """Stands for ``numpy.dtype`` while a checkpoint is read: a kind and a size, nothing more."""

    def __init__(self, code: str, *_: object) -> None:
        self.code = code
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"


def _number(dtype: object, data: object = b"") -> float | int | bool:
    """Stand for NumPy's scalar while a checkpoint is read; gives the plain number."""
    codes = {"f2": "e", "f4": "f", "f8": "d", "b1": "?"} | {
        f"{kind}{size}": code.upper() if kind == "u" else code
        for size, code in ((1, "b"), (2, "h"), (4, "i"), (8, "q"))
        for kind in "iu"
    }
    if not isinstance(dtype, _Dtype) or dtype.code not in codes:
        raise pickle.UnpicklingError("a NumPy scalar that is no number")
    if not isinstance(data, bytes):
        raise pickle.UnpicklingError("a NumPy scalar that is no number")
    (value,) = struct.unpack(dtype.order + codes[dtype.code], data)
    return value  # type: ignore[no-any-return]


def _bytes(text: object, encoding: object) -> bytes:
    """Stand for the codec by which a pickle of torch's protocol writes bytes as text."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("bytes in another encoding than a pickle's own")
    return text.encode("latin1")


def _named(target: Any, module: str, name: str) -> Any:
    """Give a class or function the name under which a pickle asks for NumPy's."""
    namespace: dict[str, Any] = {}
    if isinstance(target, type):
        copy: Any = type(name, (target,), namespace)
    else:

        def copy(*args: Any) -> Any:
            return target(*args)

    copy.__module__, copy.__name__, copy.__qualname__ = module, name, name
    return copy


_PLAIN_NUMBERS = [
    _named(_Dtype, "numpy", "dtype"),
    # NumPy 1 and 2 keep it in different places.
    _named(_number, "numpy.core.multiarray", "scalar"),
    _named(_number, "numpy._core.multiarray", "scalar"),
    _named(_bytes, "_codecs", "encode"),
]
"""torchreid's checkpoints hold rank-1 as a NumPy scalar. Its parts are read as plain numbers, so
that nothing of NumPy is called by a file."""


@contextlib.contextmanager
def _plain_numbers() -> Iterator[None]:
    """Let NumPy's scalars be read as numbers, and nothing else that was not allowed before."""
    before = list(torch.serialization.get_safe_globals())
    torch.serialization.add_safe_globals(_PLAIN_NUMBERS)
    try:
        yield
    finally:  # torch has a context manager for this from 2.5 on
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint on the CPU, weights-only: nothing in the file is run.

    Args:
        path: file of ``torch.save`` or safetensors: a state dict, or a dict that holds one. NumPy
            scalars in it, as in torchreid's checkpoints, become plain numbers.

    Raises:
        WeightsError: if the file is missing, damaged, holds code, or is not a dict.
    """
    path = expanded(path, WeightsError)
    if not path.is_file():
        raise WeightsError(f"No checkpoint at {path}: give the path of an existing file.")
    if is_safetensors(path):
        return dict(_read_safetensors(path))
    try:
        with _plain_numbers():
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(_refusal(path, str(error))) from error
    except (RuntimeError, EOFError, ValueError, LookupError, struct.error, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise WeightsError(
            f"{path} is not a readable checkpoint ({reason}): it may be cut short; fetch or save "
            "it again."
        ) from error
    if not isinstance(checkpoint, dict):
        raise WeightsError(
            f"{path} holds a {type(checkpoint).__name__}, expected a state dict or a dict that has "
            "one as 'state_dict'."
        )
    return checkpoint


def _refusal(path: Path, message: str) -> str:
    """Say why a pickle is not loaded: what it asks for, and how to make weights of it."""
    asked = re.search(r"GLOBAL ([\w.]+)", message)
    found = re.search(r"WeightsUnpickler error: *([^\n]+)", message)
    reason = found.group(1) if found else message.strip().splitlines()[0]
    if asked is None:
        return (
            f"{path} is not a weights-only checkpoint ({reason}): it may be no checkpoint, cut "
            "short, or saved with another pickle protocol than torch.save's own; fetch or save it "
            "again."
        )
    return (
        f"{path} asks for {asked.group(1)} when it is unpickled, which may run code: it is not "
        'loaded. If you trust where it comes from, convert it there: python -c "import torch; '
        f"c = torch.load('{path.name}', map_location='cpu', weights_only=False); "
        "torch.save(c.get('state_dict', c), 'weights.pth')\""
    )


def is_safetensors(path: Path) -> bool:
    """Tell by a file's content, not its name: eight bytes of length, then a JSON header."""
    with path.open("rb") as file:
        head = file.read(9)
    if len(head) < 9 or head[8:] != b"{":
        return False
    return int.from_bytes(head[:8], "little") <= path.stat().st_size


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsError(
            f"{path} is not a readable safetensors file ({error}): it may be cut short; fetch or "
            "save it again."
        ) from error


def safetensors_metadata(path: Path) -> dict[str, str]:
    """Give the texts in the header of a safetensors file.

    Raises:
        WeightsError: if the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise WeightsError(f"{path} is not a readable safetensors file ({error}).") from error


def tensors_of(checkpoint: Mapping[str, Any], path: str | Path) -> dict[str, Tensor]:
    """Give the state dict of a checkpoint: itself, or the one that it holds.

    A ``module.`` before every key, which DataParallel leaves, is taken off.

    Raises:
        WeightsError: if there is none; the message says what there is.
    """
    state: Any = checkpoint
    if not _all_tensors(state):
        held = [checkpoint[key] for key in _STATES if _all_tensors(checkpoint.get(key))]
        if not held:
            raise WeightsError(
                f"{path} holds no weights: expected a state dict, or a dict that has one as "
                f"'state_dict'; it has {', '.join(map(str, list(checkpoint)[:8])) or 'nothing'}."
            )
        state = held[0]
    if all(key.startswith("module.") for key in state):
        return {key.removeprefix("module."): value for key, value in state.items()}
    return dict(state)


def _all_tensors(state: object) -> bool:
    return (
        isinstance(state, Mapping)
        and bool(state)
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items())
    )


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Read the state dict of a checkpoint file, weights-only.

    Raises:
        WeightsError: as :func:`read_checkpoint`, and if the file holds no state dict.
    """
    return tensors_of(read_checkpoint(path), path)


def write_checkpoint(state: dict[str, Any], path: str | Path) -> None:
    """Write a checkpoint so that ``path`` is at every moment the old file or the whole new one.

    Args:
        state: tensors and plain Python values, so that a weights-only load takes it.
        path: where to; missing folders are made.

    Raises:
        OutputError: if the disk is full or the folder cannot be written; ``path`` is then as
            before.
    """
    with replacing(path) as partial:
        torch.save(state, partial)
