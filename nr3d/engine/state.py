"""A training run's state in one checkpoint, with what the weights in it need to be used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from nr3d.errors import WeightsError
from nr3d.models import AGGREGATIONS
from nr3d.version import versions
from nr3d.weights import read_checkpoint

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


def run_state(
    model: nn.Module,
    center: nn.Module,
    optimizer: Optimizer,
    center_optimizer: Optimizer,
    scheduler: Any | None,
    *,
    epoch: int,
    rank1: float | None,
    best_rank1: float | None,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Gather what a run needs to go on, and what its weights need to be used and published.

    Args:
        model, center: the network and its center loss.
        optimizer, center_optimizer: theirs.
        scheduler: the network's.
        epoch: epochs done.
        rank1, best_rank1: of the last test, and the best so far; 0..1.
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
        "epoch": epoch,
        "rank1": rank1,
        "best_rank1": best_rank1,
        "facts": dict(facts),
        "versions": versions(),
    }


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
    kind = type(getattr(network, "aggregation", None))
    return {
        "architecture": getattr(network, "architecture", None),
        "trained_on": list(getattr(datamanager, "sources", None) or ()),
        "identities": getattr(classifier, "out_features", None),
        "input_size": None if height is None or width is None else [int(height), int(width)],
        "frames": getattr(datamanager, "seq_len", None),
        "mean": None if mean is None else [round(float(m), 6) for m in mean.flatten()],
        "std": None if std is None else [round(float(s), 6) for s in std.flatten()],
        "aggregation": next((name for name, known in AGGREGATIONS.items() if known is kind), None),
        "feature": getattr(network, "feature", None),
    }


def restore_run(
    path: str | Path,
    model: nn.Module,
    center: nn.Module,
    optimizer: Optimizer,
    center_optimizer: Optimizer,
    scheduler: Any | None,
) -> tuple[int, float | None]:
    """Put a run back to where its checkpoint left it.

    Args:
        path: a checkpoint of a run.
        model, center, optimizer, center_optimizer, scheduler: as for :func:`run_state`.

    Returns:
        tuple: epochs done, and the best rank-1 so far (0..1, None before the first test).

    Raises:
        WeightsError: if the file cannot be read, is not a run's, or is another network's.
    """
    checkpoint = read_checkpoint(path)
    missing = [key for key in _KEYS if key not in checkpoint]
    if missing:
        raise WeightsError(
            f"{path} is not a training checkpoint: it has no {', '.join(missing)}. To start from "
            "its weights alone, set model.load_weights instead of model.resume."
        )
    if (scheduler is None) != (checkpoint["scheduler"] is None):
        raise WeightsError(
            f"{path} was trained {'without' if scheduler else 'with'} a learning-rate scheduler "
            f"and this run is {'with' if scheduler else 'without'} one: set train.lr_scheduler as "
            "it was."
        )
    try:
        model.load_state_dict(checkpoint["state_dict"])
        center.load_state_dict(checkpoint["centers"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        center_optimizer.load_state_dict(checkpoint["center_optimizer"])
        if scheduler is not None:
            scheduler.load_state_dict(checkpoint["scheduler"])
    except (RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(
            f"{path} is another run's: {reason[:300]}. Resume with the model, dataset and "
            "optimizer that it was trained with."
        ) from error
    return int(checkpoint["epoch"]), checkpoint["best_rank1"]
