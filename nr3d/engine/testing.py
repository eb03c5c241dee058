"""A test on one dataset: features of its tracklets, a ranking, and its figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nr3d import parallel
from nr3d.engine.extraction import extract
from nr3d.engine.results import TestResult
from nr3d.metrics import rank


def evaluate_dataset(
    name: str,
    loaders: Mapping[str, Any],
    features_of: Callable[[Tensor], Tensor],
    device: torch.device,
    *,
    ranks: Sequence[int],
    pooling: str = "avg",
    **options: Any,
) -> tuple[TestResult, npt.NDArray[np.float32] | None]:
    """Extract the features of a dataset's queries and gallery, and rank them.

    With several processes all extract, the first ranks, and all get the result.

    Args:
        name: of the dataset.
        loaders: of ``query`` and ``gallery``.
        features_of: clips (n, T, 3, H, W) to features (n, D).
        device: where ``features_of`` wants its clips.
        ranks: to report; rank-1 always is.
        pooling: from a tracklet's clips to its feature: ``'avg'`` or ``'max'``.
        options: of :func:`nr3d.metrics.rank`.

    Returns:
        tuple: the result, and in the first process the (Q, G) distances.

    Raises:
        DataError: if a frame or a dataset is not usable.
        ValueError: for an unknown metric.
    """
    started = time.perf_counter()
    query, gallery = (
        extract(loaders[part], features_of, device, pooling=pooling, name=part)
        for part in ("query", "gallery")
    )
    extracted = time.perf_counter()
    result, distances = None, None
    if parallel.world().first:
        ranking = rank(query.features, gallery.features, query.labels, gallery.labels, **options)
        distances = ranking.distances
        result = TestResult(
            dataset=name,
            mAP=ranking.mAP,
            ranks={r: float(ranking.cmc[r - 1]) for r in sorted({1, *ranks})},
            query=len(query.features),
            valid_queries=ranking.valid_queries,
            gallery=len(gallery.features),
            frames=query.frames + gallery.frames,
            clips=query.clips + gallery.clips,
            extract_seconds=extracted - started,
            rank_seconds=time.perf_counter() - extracted,
        )
    return parallel.of_first(result), distances
