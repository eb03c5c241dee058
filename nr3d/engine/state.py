"""A training run's state in one checkpoint, with what the weights in it need to be used."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nr3d.config import differences, steps_differing
from nr3d.engine.randomness import random_states, set_random_states
from nr3d.errors import WeightsError, parsing, reason_of, shown
from nr3d.version import versions
from nr3d.weights import check_numbers, facts_in, read_checkpoint

logger = logging.getLogger(__name__)

LAST = "model-last.pth.tar"
BEST = "model-best.pth.tar"
"""File names in the save folder."""

_KEYS = (
    "state_dict",
    "centers",
    "optimizer",
    "center_optimizer",
    "scheduler",
    "epoch",
    "best_rank1",
)


@dataclass
class Progress:
    """How far a run has come.

    Args:
        epoch: epochs done.
        step: batches done of the epoch after those.
        sums: of that epoch: name of a figure to its sum and its number of values.
        best_rank1: the best so far, 0..1; None before the first test.
        random: the states of the random generators; None to leave them as they are.
        untested: whether the test that is due after those epochs is still to come.
    """

    epoch: int = 0
    step: int = 0
    sums: dict[str, tuple[float, int]] = field(default_factory=dict)
    best_rank1: float | None = None
    random: dict[str, Any] | None = None
    untested: bool = False


def run_state(
    model: nn.Module,
    center: nn.Module,
    optimizer: Optimizer,
    center_optimizer: Optimizer,
    scheduler: Any | None,
    *,
    scaler: torch.amp.GradScaler,
    progress: Progress,
    rank1: float | None,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Gather what a run needs to go on, and what its weights need to be used and published.

    Args:
        model, center: the network and its center loss.
        optimizer, center_optimizer: theirs.
        scheduler: the network's.
        scaler: of the loss.
        progress: how far the run has come.
        rank1: of the test after the last step, 0..1; None without one.
        facts: plain values that belong to the weights: see :func:`facts_of`.

    Returns:
        dict: tensors and plain values; ``state_dict`` and ``epoch`` are torchreid's names.
    """
    return {
        "state_dict": model.state_dict(),
        "centers": center.state_dict(),
        "optimizer": optimizer.state_dict(),
        "center_optimizer": center_optimizer.state_dict(),
        "scheduler": None if scheduler is None else scheduler.state_dict(),
        "scaler": scaler.state_dict(),
        "epoch": progress.epoch,
        "step": progress.step,
        "sums": dict(progress.sums),
        "random": progress.random or random_states(),
        "untested": progress.untested,
        "rank1": rank1,
        "best_rank1": progress.best_rank1,
        "facts": dict(facts),
        "versions": versions(),
    }


def not_finite(content: Any, name: str = "") -> str | None:
    """Return the name of the first tensor in nested values that is not finite; None if all are.

    Examples::
        >>> not_finite({"optimizer": [{"step": torch.tensor(1.0)}]})
        >>> not_finite({"state_dict": {"weight": torch.tensor([1.0, float("nan")])}})
        'state_dict.weight'
    """
    if isinstance(content, Tensor):
        usable = not content.is_floating_point() or bool(content.isfinite().all())
        return None if usable else name
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(content, Mapping):
        items = content.items()
    elif isinstance(content, list | tuple):
        items = enumerate(content)
    for key, value in items:
        found = not_finite(value, f"{name}.{key}" if name else str(key))
        if found is not None:
            return found
    return None


def facts_of(model: nn.Module, datamanager: Any) -> dict[str, Any]:
    """Say what using a trained model depends on, in the words of the weights index.

    Args:
        model: the network; of another than ours fewer facts are known.
        datamanager: what it is trained and tested with.

    Returns:
        dict: plain values; what is not known is None.
    """
    network: Any = model.module if isinstance(model, nn.DataParallel) else model
    transform = getattr(datamanager, "transform_te", None)
    mean, std = (getattr(transform, name, None) for name in ("mean", "std"))
    height, width = getattr(datamanager, "height", None), getattr(datamanager, "width", None)
    classifier = getattr(network, "classifier", None)
    return {
        "architecture": getattr(network, "architecture", None),
        "trained_on": list(getattr(datamanager, "sources", None) or ()),
        "identities": getattr(classifier, "out_features", None),
        "input_size": None if height is None or width is None else [int(height), int(width)],
        "frames": getattr(datamanager, "seq_len", None),
        "mean": None if mean is None else [round(float(m), 6) for m in mean.flatten()],
        "std": None if std is None else [round(float(s), 6) for s in std.flatten()],
        "aggregation": getattr(network, "aggregation_name", None),
        "feature": getattr(network, "feature", None),
    }


def restore_run(
    path: str | Path,
    model: nn.Module,
    center: nn.Module,
    optimizer: Optimizer,
    center_optimizer: Optimizer,
    scheduler: Any | None,
    *,
    scaler: torch.amp.GradScaler,
    facts: Mapping[str, Any],
) -> Progress:
    """Put a run back to where its checkpoint left it.

    A configuration or versions that differ in what the next steps compute are logged.

    Args:
        path: a checkpoint of a run.
        model, center, optimizer, center_optimizer, scheduler, scaler: as for :func:`run_state`.
        facts: of this run.

    Returns:
        Progress: how far the run had come. The random states are in it, not yet set.

    Raises:
        WeightsError: if the file cannot be read, is not a run's, or is that of another network or
            other data; the message says what differs.
    """
    checkpoint = read_checkpoint(path)
    missing = [key for key in _KEYS if key not in checkpoint]
    if missing:
        raise WeightsError(
            f"{path} is not a training checkpoint: it has no {', '.join(missing)}. To start from "
            "its weights alone, set model.load_weights instead of model.resume."
        )
    _check_same_run(path, checkpoint, facts)
    if (scheduler is None) != (checkpoint["scheduler"] is None):
        raise WeightsError(
            f"{path} was trained {'without' if scheduler else 'with'} a learning-rate scheduler "
            f"and this run is {'with' if scheduler else 'without'} one: set train.lr_scheduler as "
            "it was."
        )
    check_numbers(_mapping(checkpoint, "state_dict", path), model.state_dict(), path)
    check_numbers(_mapping(checkpoint, "centers", path), center.state_dict(), path)
    for name in ("optimizer", "center_optimizer"):
        check_numbers(_floats_of(_mapping(checkpoint, name, path), name), {}, path)
    progress = _progress_in(checkpoint, path)
    try:
        model.load_state_dict(checkpoint["state_dict"])
        center.load_state_dict(checkpoint["centers"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        center_optimizer.load_state_dict(checkpoint["center_optimizer"])
        _lay_out_as_parameters(optimizer)
        if scheduler is not None:
            scheduler.load_state_dict(checkpoint["scheduler"])
        if checkpoint.get("scaler") and scaler.is_enabled():
            scaler.load_state_dict(checkpoint["scaler"])
    except Exception as error:
        raise WeightsError(
            f"{path} is another run's: {reason_of(error)}. Resume with the model, dataset and "
            "optimizer that it was trained with."
        ) from error
    return progress


def _mapping(checkpoint: Mapping[str, Any], key: str, path: str | Path) -> Mapping[str, Any]:
    """Give one of the state dicts in a checkpoint."""
    held = checkpoint[key]
    tensors = key in ("state_dict", "centers")
    if (
        not isinstance(held, Mapping)
        or not all(isinstance(name, str) for name in held)
        or (tensors and not all(isinstance(value, Tensor) for value in held.values()))
    ):
        what = "tensors by name" if tensors else "an optimizer's state"
        raise WeightsError(
            f"{path} is not a training checkpoint: its {key} is {shown(held)}, expected {what}."
        )
    return held


def _floats_of(held: Mapping[str, Any], name: str) -> dict[str, Tensor]:
    """Give the running averages in an optimizer's state, by name."""
    states = held.get("state")
    return {
        f"{name}.{index}.{key}": value
        for index, state in (states.items() if isinstance(states, Mapping) else ())
        for key, value in (state.items() if isinstance(state, Mapping) else ())
        if isinstance(value, Tensor) and value.is_floating_point()
    }


def _progress_in(checkpoint: Mapping[str, Any], path: str | Path) -> Progress:
    """Read how far a run had come, and try its random states.

    Raises:
        WeightsError: if it is not what :func:`run_state` writes.
    """
    with parsing(
        path, "a training checkpoint", "Resume from another, or train anew.", WeightsError
    ):
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
        return Progress(epoch, step, sums, best, random, bool(checkpoint.get("untested")))


def _lay_out_as_parameters(optimizer: Optimizer) -> None:
    """Give an optimizer's state the memory layout of its parameters.

    Fused steps go through both in the order of the memory; a checkpoint from another layout has
    another order.
    """
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _check_same_run(
    path: str | Path, checkpoint: Mapping[str, Any], facts: Mapping[str, Any]
) -> None:
    """Refuse another run's checkpoint, naming what differs; log what may."""
    theirs = facts_in(checkpoint, Path(path))
    differing = [
        f"{key} {shown(theirs[key])}, here {shown(value)}"
        for key, value in facts.items()
        if key in theirs
        and theirs[key] != value
        and key not in ("config", "results", "dist_metric", "protocol")
    ]
    if differing:
        raise WeightsError(
            f"{path} is another run's ({'; '.join(differing)}): set these as they were, or start "
            "from its weights alone by model.load_weights instead of model.resume."
        )
    with parsing(
        path, "a training checkpoint", "Resume from another, or train anew.", WeightsError
    ):
        one, other = theirs.get("config"), facts.get("config")
        if one is not None and not isinstance(one, Mapping):
            raise TypeError(f"its configuration is {shown(one)}")
        # An engine that was made in Python has no configuration to compare.
        changed = steps_differing(one, other) if one and other else []
        changed += [
            f"{name} {shown(before)}, now {shown(now)}".replace("'", "")
            for name, before, now in differences(checkpoint.get("versions") or {}, versions())
        ]
    if changed:
        logger.warning(
            "%s goes on with another configuration or other versions (%s): the run is no longer "
            "the same as one that was never stopped",
            path,
            "; ".join(changed),
        )
