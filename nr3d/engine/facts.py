"""Facts about the weights that a run makes, in the terms of the weights index."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from nr3d.engine.results import TestResult


def facts_of(model: nn.Module, datamanager: Any) -> dict[str, Any]:
    """Return the facts that the use of a trained model depends on.

    Args:
        model: network; fewer facts are known about one that is not nr3d's.
        datamanager: data that it is trained and tested with.

    Returns:
        dict: plain values by name; None for an unknown one.
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


def facts_of_tests(
    results: Mapping[str, TestResult], *, protocol: str, dist_metric: str | None
) -> dict[str, Any]:
    """Return the figures of trained weights, and how they were measured.

    Results by another protocol, or without the distractors, are left out, since a reader would
    misunderstand them.

    Args:
        results: result of the weights in their present state, by dataset name.
        protocol: evaluation protocol that counts.
        dist_metric: distance between features; None before the first test.

    Returns:
        dict: plain values by name.
    """
    usable = {
        name: result
        for name, result in results.items()
        if result.protocol == protocol and not result.distractors_dropped
    }
    kinds = {name: result.tracklets for name, result in usable.items() if result.tracklets}
    return {
        "dist_metric": dist_metric,
        "protocol": protocol,
        "results": {name: result.figures for name, result in usable.items()},
        # Kinds of the tracklets that are no video.
        **({"tracklets": kinds} if kinds else {}),
    }
