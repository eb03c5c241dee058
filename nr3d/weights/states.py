"""Extraction of the state dict from a checkpoint, and checks of its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nr3d.errors import WeightsError, shown
from nr3d.weights.pickled import Unusable

STATES = (
    *("state_dict", "model_state_dict", "model", "net", "network", "model_state", "weights"),
    *("state_dict_ema", "ema_state_dict", "model_ema", "ema"),
)
"""The keys under which a checkpoint may hold its state dict, in order of preference."""

_NOT_WEIGHTS = ("optimizer", "optimizer_state_dict", "optim", "scheduler", "scaler", "epoch")

WRAPPERS = ("module", "_orig_mod", "_forward_module")
"""Prefixes of tensor names that come from DataParallel, torch.compile and Lightning."""

HOLDERS = (*WRAPPERS, "model", "net", "network", "state_dict")
"""Names that a network may have inside the module that trained it."""

_NESTED = 4
"""The number of nested dicts to search for a state dict."""


def tensors_of(checkpoint: Mapping[str, Any], path: str | Path) -> dict[str, Tensor]:
    """Return the state dict of a checkpoint: the checkpoint itself, or the one that it holds.

    The prefixes of wrappers (``module.`` of DataParallel, ``_orig_mod.`` of ``torch.compile``) are
    removed from all names.

    Args:
        checkpoint: the content of the file.
        path: the file, for messages.

    Raises:
        WeightsError: if there is no state dict, in which case the message describes the content;
            or if a tensor in it does not hold plain numbers.
    """
    state = _find(checkpoint, _NESTED)
    if state is None:
        raise WeightsError(f"{path} holds no weights: {_what_is_there(checkpoint)}")
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise WeightsError(
                f"{path} has {value!r} as {shown(key)}, expected plain numbers: convert it, and "
                "save the state dict again."
            )
    return _without_wrappers(state, path)


def _find(content: object, depth: int) -> Mapping[str, Tensor | Unusable] | None:
    if not isinstance(content, Mapping) or not content or depth == 0:
        return None
    if all(isinstance(k, str) and isinstance(v, Tensor | Unusable) for k, v in content.items()):
        return content
    for key in STATES:
        found = _find(content.get(key), depth - 1)
        if found is not None:
            return found
    return None


def _what_is_there(checkpoint: Mapping[Any, Any]) -> str:
    expected = "expected a state dict, or a dict that has one as 'state_dict'"
    names = [shown(key, 40).strip("'") for key in list(checkpoint)[:8]]
    held = next((checkpoint[key] for key in STATES if key in checkpoint), checkpoint)
    if isinstance(held, Mapping) and held:
        if not all(isinstance(key, str) for key in held):
            key = next(key for key in held if not isinstance(key, str))
            return f"{expected}; a name in it is {shown(key)}, which is no text."
        if any(isinstance(value, Tensor) for value in held.values()):
            key = next(key for key, value in held.items() if not isinstance(value, Tensor))
            what = type(held[key]).__name__
            return f"{expected}; {shown(key)} in it is of type {what}, not a tensor."
    if held is not checkpoint and not held:
        return f"{expected}; the one in it is empty."
    there = f"{expected}; it has {', '.join(names) or 'nothing'}."
    if names and set(names) <= set(_NOT_WEIGHTS):
        return f"{there} These are for resuming a training: give the file that holds the network."
    return there


def _without_wrappers(state: Mapping[str, Any], path: str | Path) -> dict[str, Tensor]:
    """Remove wrappers' prefixes common to all names, and torch.compile's anywhere in a name."""
    names = {key: key.replace("_orig_mod.", "") for key in state}
    while first := _common_first(names.values()):
        names = {key: name.removeprefix(f"{first}.") for key, name in names.items()}
    renamed: dict[str, Tensor] = {}
    for key, name in names.items():
        if name in renamed:
            raise WeightsError(
                f"{path} has two tensors for {shown(name)}, one of them as {shown(key)}: keep the "
                "right one, and save the state dict again."
            )
        renamed[name] = state[key]
    return renamed


def _common_first(names: Iterable[str]) -> str | None:
    firsts = {name.partition(".")[0] if "." in name else "" for name in names}
    first = firsts.pop() if len(firsts) == 1 else None
    return first if first in WRAPPERS else None


def held_as(state: Mapping[str, Any], anchors: Iterable[str]) -> list[str]:
    """Return the prefixes, made up of :data:`HOLDERS`, that a network has in a state dict.

    Args:
        state: tensors by name.
        anchors: names of some of the network's tensors.

    Returns:
        list[str]: the non-empty prefixes, such as ``["model."]`` or ``["module.model."]``.
    """
    found: dict[str, None] = {}
    for anchor in anchors:
        for key in state:
            if key.endswith(f".{anchor}"):
                prefix = key[: -len(anchor)]
                if all(part in HOLDERS for part in prefix.rstrip(".").split(".")):
                    found[prefix] = None
    return list(found)


# The numbers


_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def check_numbers(
    state: Mapping[str, Tensor], like: Mapping[str, Tensor], path: str | Path
) -> None:
    """Raise an error for the first tensor that a network cannot compute with.

    Args:
        state: tensors by name.
        like: the network's own tensors by name, where it has them.
        path: the file of ``state``, for messages.

    Raises:
        WeightsError: if a tensor is not of type float16, bfloat16, float32 or float64 (or of whole
            numbers, like the network's own counters of batches), has values that are NaN, infinite
            or beyond float32, or is a variance below 0.
    """
    for key, tensor in state.items():
        name, own = shown(key), like.get(key)
        whole = not own.is_floating_point() if own is not None else is_counter(key)
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
            raise WeightsError(f"{path}: {name} has no plain numbers: {_CONVERT}")
        if tensor.dtype in _FLOATS:
            _check_floats(name, tensor, path)
        elif not (tensor.dtype in _WHOLE and whole):
            kind = str(tensor.dtype).removeprefix("torch.")
            raise WeightsError(
                f"{path}: {name} is of {kind}, expected float32 (or float16, bfloat16, float64): "
                f"{_CONVERT}"
            )


_WHOLE = (torch.int64, torch.int32, torch.int16, torch.uint8, torch.int8, torch.bool)
_CONVERT = "convert it, and save the state dict again."


def is_counter(key: str) -> bool:
    """Return whether a tensor is a batch norm's count of batches."""
    return str(key).rpartition(".")[2] == "num_batches_tracked"


def _check_floats(name: str, tensor: Tensor, path: str | Path) -> None:
    # As the network will hold them: values beyond float32 become infinite.
    values = tensor.detach().float()
    if not bool(torch.isfinite(values.sum())):  # a single pass if all values are finite
        nan = int(torch.isnan(values).sum())
        infinite = int(torch.isinf(values).sum())
        if nan or infinite:
            raise WeightsError(
                f"{path}: {name} has {nan} NaN and {infinite} infinite of its {values.numel()} "
                "values: its training diverged or the file is damaged; take an earlier checkpoint."
            )
    if name.rstrip("'").endswith("running_var") and bool((values < 0).any()):
        raise WeightsError(
            f"{path}: {name} has {int((values < 0).sum())} of {values.numel()} values below 0, "
            "which no variance can be: the file is damaged; fetch or save it again."
        )
