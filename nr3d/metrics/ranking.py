"""Ranking a gallery for every query, and judging it by torchreid's protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from nr3d.errors import DataError
from nr3d.host import torchreid

MAX_RANK = 50
"""Ranks of the cumulative matching curve, as in torchreid."""

QUERIES_AT_ONCE = 64
"""Queries given to torchreid's evaluator at a time, between two steps of the progress bar."""


@dataclass(frozen=True)
class Ranking:
    """How well a gallery was ranked.

    Attributes:
        cmc: (50,), the share of queries with a true match among the first r.
        mAP: mean average precision, 0..1.
        distances: (Q, G), what the gallery was ranked by.
        valid_queries: queries with a true match under another camera; others do not count.
    """

    cmc: npt.NDArray[np.float32]
    mAP: float
    distances: npt.NDArray[np.float32]
    valid_queries: int


@dataclass(frozen=True)
class Labels:
    """Person and camera of each tracklet of a query or gallery set, both (N,)."""

    pids: npt.NDArray[np.int64]
    camids: npt.NDArray[np.int64]

    @classmethod
    def of(cls, pids: Sequence[int], camids: Sequence[int]) -> Labels:
        """Make the arrays from sequences of ints."""
        return cls(np.asarray(pids, np.int64), np.asarray(camids, np.int64))


def rank(
    query_features: Tensor,
    gallery_features: Tensor,
    query: Labels,
    gallery: Labels,
    *,
    dist_metric: str = "euclidean",
    normalize_feature: bool = False,
    rerank: bool = False,
    use_metric_cuhk03: bool = False,
) -> Ranking:
    """Rank the gallery for every query and evaluate it with torchreid.

    Gallery tracklets of the query's person under the query's camera are left out; a query without
    a true match does not count.

    Reference:
        Zheng et al. Scalable Person Re-identification: A Benchmark. ICCV 2015. Deviation from
        torchreid's call: where fewer than 50 gallery tracklets are left for a query, its curve
        goes on at 1; torchreid's evaluator fails there.

    Args:
        query_features: (Q, D).
        gallery_features: (G, D).
        query, gallery: their persons and cameras.
        dist_metric: ``'euclidean'`` (squared) or ``'cosine'``.
        normalize_feature: scale every feature to length 1 first.
        rerank: k-reciprocal re-ranking (Zhong et al., CVPR 2017. arXiv:1701.08398).
        use_metric_cuhk03: one gallery tracklet per person, drawn, as CUHK03 is tested.

    Raises:
        DataError: if there are no features, one is not finite, or no query has a true match.
        ValueError: for another metric.
    """
    for part, features in (("query", query_features), ("gallery", gallery_features)):
        if len(features) == 0:
            raise DataError(f"The {part} set is empty: nothing can be ranked.")
        if not bool(features.isfinite().all()):
            bad = int((~features.isfinite().all(dim=1)).nonzero()[0])
            raise DataError(
                f"The feature of {part} tracklet {bad} is not finite: the network has diverged or "
                "its weights are damaged."
            )
    if normalize_feature:
        query_features = F.normalize(query_features, dim=1)
        gallery_features = F.normalize(gallery_features, dim=1)

    def distance(one: Tensor, other: Tensor) -> npt.NDArray[np.float32]:
        matrix: Tensor = torchreid.metrics.compute_distance_matrix(one, other, dist_metric)
        return matrix.float().cpu().numpy()

    distances = distance(query_features, gallery_features)
    if rerank:
        distances = torchreid.utils.re_ranking(
            distances,
            distance(query_features, query_features),
            distance(gallery_features, gallery_features),
        )
    cmc, mean_precision, valid = _evaluate(distances, query, gallery, use_metric_cuhk03)
    return Ranking(cmc, mean_precision, distances, valid)


def _evaluate(
    distances: npt.NDArray[np.float32], query: Labels, gallery: Labels, use_metric_cuhk03: bool
) -> tuple[npt.NDArray[np.float32], float, int]:
    same_person = query.pids[:, None] == gallery.pids[None, :]
    same_camera = query.camids[:, None] == gallery.camids[None, :]
    has_match = (same_person & ~same_camera).any(axis=1)
    valid = int(has_match.sum())
    if valid == 0:
        raise DataError(
            f"None of the {len(query.pids)} queries has its person in the gallery under another "
            "camera: nothing can be evaluated. Check the test set's persons and cameras."
        )
    left = (~(same_person & same_camera)).sum(axis=1)
    short = max(0, MAX_RANK - int(left.min()))
    if short:
        # Far-away strangers behind the real gallery make every curve long enough and change
        # neither the curve before them nor any precision.
        stranger = int(min(query.pids.min(), gallery.pids.min())) - 1
        distances = np.pad(distances, ((0, 0), (0, short)), constant_values=np.inf)
        gallery = Labels(
            np.pad(gallery.pids, (0, short), constant_values=stranger),
            np.pad(gallery.camids, (0, short), constant_values=stranger),
        )
    cmc = np.zeros(MAX_RANK)
    precision = 0.0
    starts = range(0, len(query.pids), QUERIES_AT_ONCE)
    for start in tqdm(starts, desc="Ranking", leave=False, disable=None):
        part = slice(start, start + QUERIES_AT_ONCE)
        counted = int(has_match[part].sum())
        if counted == 0:
            continue
        part_cmc, part_mean = torchreid.metrics.evaluate_rank(
            distances[part],
            query.pids[part],
            gallery.pids,
            query.camids[part],
            gallery.camids,
            max_rank=MAX_RANK,
            use_metric_cuhk03=use_metric_cuhk03,
        )
        # Both are means over the queries that count.
        cmc += np.asarray(part_cmc, np.float64) * counted
        precision += float(part_mean) * counted
    return (cmc / valid).astype(np.float32), precision / valid, valid
