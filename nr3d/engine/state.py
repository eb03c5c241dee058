"""State of a training run: its parts, its progress, and the checkpoint of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from nr3d.engine.randomness import random_states, set_random_states
from nr3d.features.precision import Precision
from nr3d.version import versions

LAST = "model-last.pth.tar"
BEST = "model-best.pth.tar"
"""Names of the checkpoints in the save folder."""

_COMMON = (
    *("state_dict", "optimizer", "scheduler", "scaler", "epoch", "step", "sums", "random"),
    *("untested", "rank1", "best_rank1", "loss", "facts", "versions", "attention_health"),
)


@dataclass
class Progress:
    """Progress of a run.

    Args:
        epoch: number of finished epochs.
        step: number of finished batches of the next epoch.
        sums: sum and number of the values of each figure in that epoch so far, by name.
        best_rank1: best rank-1 so far, 0..1; None before the first test.
        random: states of the random generators; None to leave them as they are.
        untested: whether the test after the finished epochs is still due.
        attention: state of the attention in the last finished epoch, ``'flat'`` or ``'alive'``;
            None if it is not known.
        flatness_said: whether the run has said that its attention is flat.
    """

    epoch: int = 0
    step: int = 0
    sums: dict[str, tuple[float, int]] = field(default_factory=dict)
    best_rank1: float | None = None
    random: dict[str, Any] | None = None
    untested: bool = False
    attention: str | None = None
    flatness_said: bool = False

    def taken_up(self, start_epoch: int) -> Progress:
        """Return the progress from which a run trains, with its random states restored.

        Args:
            start_epoch: number of finished epochs. If it is not that of this progress, the epoch
                begins anew.
        """
        if self.epoch != start_epoch:
            return self.at_epoch(start_epoch)
        if self.random is not None:
            set_random_states(self.random)
            self.random = None
        return self

    def at_epoch(self, epoch: int) -> Progress:
        """Return the progress of the same run with a number of finished epochs and no more."""
        return replace(self, epoch=epoch, step=0, sums={}, random=None, untested=False)

    def end_epoch(self, epoch: int, rank1: float | None) -> bool:
        """Note that an epoch has ended; return whether its rank-1 is the best so far.

        Args:
            epoch: epoch that has just ended, from 0.
            rank1: rank-1 of the test after it, 0..1; None without a test.
        """
        self.epoch, self.step = epoch + 1, 0
        if rank1 is None or (self.best_rank1 is not None and rank1 <= self.best_rank1):
            return False
        self.best_rank1 = rank1
        return True


@dataclass(frozen=True)
class RunParts:
    """Parts of a run that have a state of their own.

    Args:
        model: network.
        optimizer: optimizer of the network.
        scheduler: learning-rate scheduler of the network; None without one.
        precision: number type of the run, whose loss scaler has a state.
        loss: name of the training loss.
        loss_modules: modules of the loss that have a state, by their key in a checkpoint.
        loss_optimizers: optimizers of these modules, by their key in a checkpoint.

    Raises:
        ValueError: if the loss uses a key that every checkpoint has.
    """

    model: nn.Module
    optimizer: Optimizer
    scheduler: Any | None
    precision: Precision
    loss: str
    loss_modules: Mapping[str, nn.Module] = field(default_factory=dict)
    loss_optimizers: Mapping[str, Optimizer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        own = [*self.loss_modules, *self.loss_optimizers]
        taken = [key for key in own if key in _COMMON or own.count(key) > 1]
        if taken:
            raise ValueError(
                f"the loss {self.loss} keeps its state as {taken[0]!r}, expected a key that no "
                "other part of a checkpoint has"
            )


def run_state(
    parts: RunParts, *, progress: Progress, rank1: float | None, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a checkpoint, from which a run can be resumed and its weights used and published.

    Args:
        parts: the run's parts.
        progress: progress of the run.
        rank1: rank-1 of the test after the last step, 0..1; None without a test.
        facts: plain values that describe the weights; see :mod:`nr3d.engine.facts`.

    Returns:
        dict: tensors and plain values; ``state_dict`` and ``epoch`` are torchreid's names.
    """
    return {
        "state_dict": parts.model.state_dict(),
        **{key: module.state_dict() for key, module in parts.loss_modules.items()},
        "optimizer": parts.optimizer.state_dict(),
        **{key: optimizer.state_dict() for key, optimizer in parts.loss_optimizers.items()},
        "scheduler": None if parts.scheduler is None else parts.scheduler.state_dict(),
        "scaler": parts.precision.scaler.state_dict(),
        "epoch": progress.epoch,
        "step": progress.step,
        "sums": dict(progress.sums),
        "random": progress.random or random_states(),
        "untested": progress.untested,
        "rank1": rank1,
        "best_rank1": progress.best_rank1,
        "attention_health": {"state": progress.attention, "said": progress.flatness_said},
        "loss": parts.loss,
        "facts": dict(facts),
        "versions": versions(),
    }


def not_finite(content: Any, name: str = "") -> str | None:
    """Return the name of the first tensor in nested values that is not finite; None if all are.

    Examples:
        >>> import torch
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
