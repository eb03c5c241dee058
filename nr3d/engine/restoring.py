"""Restoring of a run from its checkpoint, and the reasons to refuse one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from nr3d.config import steps_differing
from nr3d.config.aggregation import ATTENTION_FORMS, keys_of
from nr3d.engine.randomness import random_states, set_random_states
from nr3d.engine.state import Progress, RunParts
from nr3d.errors import WeightsError, parsing, reason_of, shown
from nr3d.version import versions
from nr3d.weights import check_numbers, facts_in, read_checkpoint
from nr3d.weights.entry import ATTENTION_STATES

logger = logging.getLogger(__name__)

_KEYS = ("state_dict", "optimizer", "scheduler", "epoch", "best_rank1")

_FIRST_LOSS = "not3d"
"""Name of the only loss at the time when checkpoints did not name theirs yet."""

_ADVICE = "Resume from another checkpoint, or train from the start."


def restore_run(path: str | Path, parts: RunParts, *, facts: Mapping[str, Any]) -> Progress:
    """Restore a run from its checkpoint.

    Changes of configuration or versions that affect the next steps are logged.

    Args:
        path: checkpoint of a run.
        parts: the run's parts, which receive the checkpoint's state.
        facts: facts of this run; see :mod:`nr3d.engine.facts`.

    Returns:
        Progress: progress of the run, with the random states, which are not set yet.

    Raises:
        WeightsError: if the file cannot be read, is no training checkpoint, or is that of another
            network, loss or dataset; the message says what differs.
    """
    checkpoint = read_checkpoint(path)
    _require(path, checkpoint, _KEYS)
    _check_same_loss(path, checkpoint, parts.loss)
    _require(path, checkpoint, [*parts.loss_modules, *parts.loss_optimizers])
    _check_same_run(path, checkpoint, facts)
    if (parts.scheduler is None) != (checkpoint["scheduler"] is None):
        has = parts.scheduler is not None
        raise WeightsError(
            f"{path} was trained {'without' if has else 'with'} a learning-rate scheduler and this "
            f"run is {'with' if has else 'without'} one: set train.lr_scheduler as it was."
        )
    modules = {"state_dict": parts.model, **parts.loss_modules}
    optimizers = {"optimizer": parts.optimizer, **parts.loss_optimizers}
    for key, module in modules.items():
        check_numbers(_tensors(checkpoint, key, path), module.state_dict(), path)
    for key in optimizers:
        check_numbers(_floats_of(_mapping(checkpoint, key, path), key), {}, path)
    progress = _progress_in(checkpoint, path)
    try:
        for key, module in modules.items():
            module.load_state_dict(checkpoint[key])
        for key, optimizer in optimizers.items():
            optimizer.load_state_dict(checkpoint[key])
        _lay_out_as_parameters(parts.optimizer)
        if parts.scheduler is not None:
            parts.scheduler.load_state_dict(checkpoint["scheduler"])
        scaler = parts.precision.scaler
        if checkpoint.get("scaler") and scaler.is_enabled():
            scaler.load_state_dict(checkpoint["scaler"])
    except Exception as error:
        raise WeightsError(
            f"{path} is another run's: {reason_of(error)}. Resume with the model, dataset and "
            "optimizer that it was trained with."
        ) from error
    return progress


def _require(path: str | Path, checkpoint: Mapping[str, Any], keys: Any) -> None:
    missing = [key for key in keys if key not in checkpoint]
    if missing:
        raise WeightsError(
            f"{path} is not a training checkpoint: it has no {', '.join(missing)}. To start from "
            "its weights alone, set model.load_weights instead of model.resume."
        )


def _check_same_loss(path: str | Path, checkpoint: Mapping[str, Any], loss: str) -> None:
    theirs = checkpoint.get("loss", _FIRST_LOSS)
    if theirs != loss:
        raise WeightsError(
            f"{path} was trained with the loss {shown(theirs)} and this run has {shown(loss)}: set "
            "loss.name as it was, or start from its weights alone by model.load_weights instead of "
            "model.resume."
        )


def _tensors(checkpoint: Mapping[str, Any], key: str, path: str | Path) -> Mapping[str, Tensor]:
    """Return one of the state dicts in a checkpoint."""
    held = checkpoint[key]
    if not _is_mapping(held) or not all(isinstance(value, Tensor) for value in held.values()):
        raise _another_kind(path, key, held, "tensors by name")
    return held  # type: ignore[no-any-return]


def _mapping(checkpoint: Mapping[str, Any], key: str, path: str | Path) -> Mapping[str, Any]:
    """Return one of the optimizers' states in a checkpoint."""
    held = checkpoint[key]
    if not _is_mapping(held):
        raise _another_kind(path, key, held, "an optimizer's state")
    return held  # type: ignore[no-any-return]


def _is_mapping(held: object) -> bool:
    return isinstance(held, Mapping) and all(isinstance(name, str) for name in held)


def _another_kind(path: str | Path, key: str, held: object, expected: str) -> WeightsError:
    return WeightsError(
        f"{path} is not a training checkpoint: its {key} is {shown(held)}, expected {expected}."
    )


def _floats_of(held: Mapping[str, Any], name: str) -> dict[str, Tensor]:
    """Return the running averages in an optimizer's state, by name."""
    states = held.get("state")
    return {
        f"{name}.{index}.{key}": value
        for index, state in (states.items() if isinstance(states, Mapping) else ())
        for key, value in (state.items() if isinstance(state, Mapping) else ())
        if isinstance(value, Tensor) and value.is_floating_point()
    }


def _progress_in(checkpoint: Mapping[str, Any], path: str | Path) -> Progress:
    """Read the progress of a run, and try its random states.

    Raises:
        WeightsError: if it is not what :func:`nr3d.engine.state.run_state` writes.
    """
    with parsing(path, "a training checkpoint", _ADVICE, WeightsError):
        epoch, step = checkpoint["epoch"], checkpoint.get("step", 0)
        if not all(type(count) is int and 0 <= count < 1 << 31 for count in (epoch, step)):
            raise ValueError(f"epoch {shown(epoch)} and step {shown(step)} are no counts")
        sums = {
            str(name): (float(a), int(b)) for name, (a, b) in checkpoint.get("sums", {}).items()
        }
        if not all(count > 0 for _, count in sums.values()):
            raise ValueError("sums of no values")
        best = checkpoint["best_rank1"]
        if best is not None and not (isinstance(best, float | int) and 0 <= best <= 1):
            raise ValueError(f"the best rank-1 {shown(best)} is no share")
        random = checkpoint.get("random")
        if random is not None:
            now = random_states()
            try:
                set_random_states(random)
            finally:
                set_random_states(now)
        attention = checkpoint.get("attention_health") or {"state": None, "said": False}
        if attention["state"] not in (None, *ATTENTION_STATES):
            raise ValueError(f"the attention's state is {shown(attention['state'])}")
        return Progress(
            epoch,
            step,
            sums,
            best,
            random,
            untested=bool(checkpoint.get("untested")),
            attention=attention["state"],
            flatness_said=bool(attention["said"]),
        )


def _as_set(fact: str, value: Any) -> str:
    """Return the value of a fact for a message; a form of the attention with its keys."""
    if fact != "aggregation" or value not in ATTENTION_FORMS.values():
        return shown(value)
    keys = ", ".join(f"{key} {chosen}" for key, chosen in keys_of(value).items())
    return f"{shown(value)} ({keys})"


def _lay_out_as_parameters(optimizer: Optimizer) -> None:
    """Copy an optimizer's state into the memory layout of its parameters.

    Fused steps read both in memory order, and a checkpoint from another layout has another order.
    """
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _check_same_run(
    path: str | Path, checkpoint: Mapping[str, Any], facts: Mapping[str, Any]
) -> None:
    """Refuse another run's checkpoint, naming what differs; log tolerable differences."""
    theirs = facts_in(checkpoint, Path(path))
    differing = [
        f"{key} {_as_set(key, theirs[key])}, here {_as_set(key, value)}"
        for key, value in facts.items()
        if key in theirs
        and theirs[key] != value
        and key not in ("config", "results", "dist_metric", "protocol", "attention")
    ]
    if differing:
        raise WeightsError(
            f"{path} is another run's ({'; '.join(differing)}): set these as they were, or start "
            "from its weights alone by model.load_weights instead of model.resume."
        )
    with parsing(path, "a training checkpoint", _ADVICE, WeightsError):
        one, other = theirs.get("config"), facts.get("config")
        if one is not None and not isinstance(one, Mapping):
            raise TypeError(f"its configuration is {shown(one)}")
        # An engine that was made in Python has no configuration to compare.
        changed = steps_differing(one, other) if one and other else []
        before, now = checkpoint.get("versions") or {}, versions()
        changed += [
            f"{name} {shown(before[name])}, now {shown(now[name])}".replace("'", "")
            for name in sorted(before.keys() & now.keys())
            if before[name] != now[name]
        ]
    if changed:
        logger.warning(
            "%s is resumed with another configuration or other versions (%s): the run is no longer "
            "the same as one that was never stopped",
            path,
            "; ".join(changed),
        )
