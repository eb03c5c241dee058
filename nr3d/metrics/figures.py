"""Figures of a test, from the scores of its single queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from nr3d.metrics.matches import Matches

RESAMPLES = 1000
LENGTHS = (8, 16, 32, 64, 128, 256)
"""Numbers of frames at which the next bin of tracklet lengths begins."""

Scores = Mapping[str, npt.NDArray[np.float64]]
"""Score of each valid query for each figure; a figure is the mean over the queries."""


def curve(matches: Matches, max_rank: int) -> npt.NDArray[np.float32]:
    """Return the cumulative matching curve: the share of queries with a match among the first r.

    Args:
        matches: matches of the queries, of which at least one is valid.
        max_rank: length of the curve.
    """
    first = matches.first[matches.valid]
    found_at = np.bincount(np.minimum(first, max_rank), minlength=max_rank + 1)[:max_rank]
    return (np.cumsum(found_at) / len(first)).astype(np.float32)


def scores(matches: Matches, ranks: Sequence[int], *, trapezoids: bool) -> Scores:
    """Return the score of each valid query for rank-r, mAP and mINP.

    Args:
        matches: matches of the queries.
        ranks: ranks r to report, from 1.
        trapezoids: whether the area below a precision-recall curve is measured by trapezoids
            instead of steps.

    Examples:
        >>> half = np.array([0.5])
        >>> matches = Matches(np.array([True]), np.array([1]), half, half, half)
        >>> summary(scores(matches, (1, 5), trapezoids=False))
        {'queries': 1, 'rank-1': 0.0, 'rank-5': 1.0, 'mAP': 0.5, 'mINP': 0.5}
    """
    valid = matches.valid
    first = matches.first[valid]
    return {
        **{f"rank-{rank}": (first < rank).astype(np.float64) for rank in ranks},
        "mAP": (matches.trapezoids if trapezoids else matches.steps)[valid],
        "mINP": matches.inverse_penalty[valid],
    }


def summary(of: Scores, which: npt.NDArray[np.bool_] | None = None) -> dict[str, Any]:
    """Return the number of queries and each figure's mean over them.

    Args:
        of: scores of the valid queries, by figure.
        which: mask of the queries that count, at least one; default is all.
    """
    chosen = {name: each if which is None else each[which] for name, each in of.items()}
    queries = len(next(iter(chosen.values())))
    return {"queries": queries, **{name: float(each.mean()) for name, each in chosen.items()}}


def intervals(of: Scores, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, list[float]]:
    """Return each figure's 95 % interval by the bootstrap over the queries.

    Each resample draws the same number of queries with replacement; the interval spans the 2.5th to
    the 97.5th percentile of the resamples' figures. It shows how much a figure depends on which
    queries happen to be in the test set, not on the training run.

    Reference:
        Efron and Tibshirani. An Introduction to the Bootstrap. 1993, chapter 13.

    Args:
        of: scores of the valid queries, by figure.
        resamples: number of resamples.
        seed: seed of the draws.

    Examples:
        >>> intervals({"mAP": np.full(9, 0.25)})
        {'mAP': [0.25, 0.25]}
    """
    rng = np.random.default_rng(seed)
    each = np.stack(list(of.values()))  # (F, Q)
    queries = each.shape[1]
    means = np.empty((resamples, len(each)))
    for draw in means:  # one at a time, to save memory: Q numbers, not resamples times Q
        drawn = np.bincount(rng.integers(0, queries, queries), minlength=queries)
        draw[:] = each @ drawn / queries
    ends = np.percentile(means, (2.5, 97.5), axis=0)
    return {name: [float(low), float(high)] for name, low, high in zip(of, *ends, strict=True)}


def by_length(of: Scores, lengths: npt.NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return the figures by the length of the query's tracklet, where there are queries.

    Args:
        of: scores of the valid queries, by figure.
        lengths: number of frames of each valid query's tracklet.

    Returns:
        list: one dict of figures per bin of lengths, the shortest first.

    Examples:
        >>> by_length({"mAP": np.array([0.5, 1.0, 0.0])}, np.array([7, 8, 15]))
        [{'frames': '<8', 'queries': 1, 'mAP': 0.5}, {'frames': '8-15', 'queries': 2, 'mAP': 0.5}]
    """
    names = [
        f"<{LENGTHS[0]}",
        *(f"{start}-{end - 1}" for start, end in pairwise(LENGTHS)),
        f">={LENGTHS[-1]}",
    ]
    bins = np.searchsorted(LENGTHS, lengths, side="right")
    return [{"frames": names[b], **summary(of, bins == b)} for b in np.unique(bins)]
