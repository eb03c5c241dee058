"""The ranking of a gallery for every query, and its figures by each protocol."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from nr3d.errors import DataError
from nr3d.metrics.camera_pairs import camera_pairs, camera_views
from nr3d.metrics.evaluation import MAX_RANK, MEMORY
from nr3d.metrics.figures import Scores, by_length, curve, intervals, scores
from nr3d.metrics.host_evaluation import host_evaluation
from nr3d.metrics.labels import Labels
from nr3d.metrics.matches import Matches, View, find_matches, numbered, require_a_match
from nr3d.metrics.protocols import PROTOCOLS, RULES
from nr3d.metrics.search import Search, watched

DISTRACTORS = ("keep", "drop")
EVALUATORS = ("nr3d", "torchreid")

_LARGE = 2.0**30
"""Features with a number above it, or with all below its inverse, are scaled before squaring."""

Sight = tuple[str, int | None]
"""A protocol, and the only camera of its gallery; None for the whole gallery."""


@dataclass(frozen=True)
class Ranking:
    """Figures of a ranked gallery by one protocol.

    Attributes:
        protocol: evaluation protocol, one of :data:`nr3d.metrics.PROTOCOLS`.
        cmc: share of queries with a true match among the first r, (50,).
        mAP: mean average precision, 0..1.
        mINP: mean inverse negative penalty, 0..1; None with torchreid's evaluator.
        valid_queries: number of queries with a true match under another camera; others do not
            count.
        gallery: number of entries that were ranked.
        distractors: number of tracklets in the given gallery of persons that no query shows.
        dropped: whether these tracklets were left out.
        distances: distances (Q, G) that the given gallery was ranked by, infinite for entries left
            out; None if they were not kept.
        query_distances: distances (Q, Q) that the queries were ranked by; None if they were not
            kept, or if the first of the protocols does not rank them.
        intervals: ends of the 95 % interval, by figure; None without details.
        by_length: figures by the number of frames of the query's tracklet; None without details.
        camera_pairs: figures by the query's camera and the only camera of the gallery; None without
            details.
    """

    protocol: str
    cmc: npt.NDArray[np.float32]
    mAP: float
    mINP: float | None
    valid_queries: int
    gallery: int
    distractors: int
    dropped: bool
    distances: npt.NDArray[np.float32] | None = None
    query_distances: npt.NDArray[np.float32] | None = None
    intervals: dict[str, list[float]] | None = None
    by_length: list[dict[str, Any]] | None = None
    camera_pairs: list[dict[str, Any]] | None = None


def rank(
    query_features: Tensor,
    gallery_features: Tensor,
    query: Labels,
    gallery: Labels,
    *,
    protocols: Sequence[str] = ("torchreid",),
    distractors: str = "keep",
    dist_metric: str = "euclidean",
    normalize_feature: bool = False,
    rerank: bool = False,
    use_metric_cuhk03: bool = False,
    evaluator: str = "nr3d",
    memory: int = MEMORY,
    device: torch.device | str | None = None,
    lengths: npt.NDArray[np.int64] | Sequence[int] | None = None,
    names: tuple[Sequence[str], Sequence[str]] | None = None,
    ranks: Sequence[int] = (1, 5, 10, 20),
    details: bool = False,
    keep_distances: bool = True,
) -> dict[str, Ranking]:
    """Rank the gallery for every query, and evaluate the ranking by one or more protocols.

    Gallery tracklets of the query's person under the query's camera are left out; a query without
    a true match does not count. The distances are computed and searched a block of queries at a
    time.

    Reference:
        Zheng et al. Scalable Person Re-identification: A Benchmark. ICCV 2015; for the figures
        see :class:`nr3d.metrics.matches.Matches`, for torchreid's evaluator and the deviations
        from it :func:`nr3d.metrics.evaluate_rank`.

    Args:
        query_features: features of the queries, (Q, D).
        gallery_features: features of the gallery, (G, D).
        query, gallery: persons and cameras of the two sets.
        protocols: evaluation protocols, of :data:`nr3d.metrics.PROTOCOLS`.
        distractors: ``'keep'`` or ``'drop'``, for gallery tracklets of persons no query shows.
        dist_metric: ``'euclidean'`` (squared) or ``'cosine'``.
        normalize_feature: whether to scale every feature to length 1 first.
        rerank: whether to re-rank by k-reciprocal neighbours (Zhong et al., CVPR 2017.
            arXiv:1701.08398), within each protocol's own gallery.
        use_metric_cuhk03: whether to keep one gallery tracklet per person, drawn at random, as
            CUHK03 is tested, by torchreid's evaluator.
        evaluator: ``'nr3d'``, or ``'torchreid'`` for its own, which needs all distances at once and
            supports neither details nor other protocols.
        memory: memory for the distances being processed, and again for those that are kept, in
            bytes. Blocks of another height can round a distance differently in its last digit.
        device: device that computes and sorts the distances; default is the features' own.
        lengths: number of frames of each query tracklet, (Q,).
        names: names of the query and of the gallery tracklets, for errors.
        ranks: ranks of the detailed figures, from 1.
        details: whether to compute intervals, figures by length (with ``lengths``) and by pair of
            cameras.
        keep_distances: whether to return the distances too, if they take no more than ``memory``.

    Returns:
        dict: a :class:`Ranking` per protocol, in the order of ``protocols``.

    Raises:
        DataError: if there are no features, one is not finite, a distance is not a number, or no
            query has a true match.
        ValueError: if an option has an unknown value, or the labels do not fit the features.

    Examples:
        >>> features = torch.tensor([[0.0], [1.0], [3.0]])
        >>> found = rank(
        ...     features[:1], features, Labels.of([7], [0]), Labels.of([7, 8, 7], [0, 0, 1])
        ... )
        >>> found["torchreid"].mAP, found["torchreid"].distances
        (0.5, array([[0., 1., 9.]], dtype=float32))
    """
    by_host = evaluator == "torchreid" or use_metric_cuhk03
    _check_options(protocols, distractors, evaluator, by_host)
    if not ranks or min(ranks) < 1:
        raise ValueError(f"ranks are {list(ranks)}, expected ranks from 1")
    directions = normalize_feature or dist_metric == "cosine"
    # Re-ranking squares the squared distances once more.
    longest = math.inf if directions else 2.0**30 if rerank else 2.0**62
    one, other = (
        _usable(part, features, labels, own, directions=directions, longest=longest)
        for part, features, labels, own in (
            ("query", query_features, query, names and names[0]),
            ("gallery", gallery_features, gallery, names and names[1]),
        )
    )
    if one.shape[1] != other.shape[1]:
        raise ValueError(
            f"query features have {one.shape[1]} numbers, and those of the gallery {other.shape[1]}"
        )
    if lengths is not None and len(lengths) != len(query):
        raise ValueError(f"There are {len(lengths)} lengths for {len(query)} query tracklets.")
    one = one.to(device or one.device)
    other = other.to(one.device)
    if normalize_feature:
        one, other = F.normalize(one, dim=1), F.normalize(other, dim=1)

    shown = np.isin(gallery.pids, query.pids)
    dropped = distractors == "drop"
    left: slice | npt.NDArray[np.int64] = slice(len(gallery))
    if dropped and not shown.all():
        left = np.flatnonzero(shown)
        other = other[torch.from_numpy(left).to(other.device)]
    search = Search(query, gallery[left], one, other, dist_metric, rerank, memory)
    ranked_too = len(query) if RULES[protocols[0]].queries_in_gallery else 0
    keep_distances = keep_distances and 4 * len(query) * (len(gallery) + ranked_too) <= memory

    common: dict[str, Any] = {"distractors": len(gallery) - int(shown.sum()), "dropped": dropped}
    found: dict[str, Ranking] = {}
    for group in _sharing(protocols) if rerank else [protocols]:
        views = _views(search, group, by_camera=details and not by_host)
        store = None
        if keep_distances or by_host:
            width = len(gallery) + (ranked_too if group[0] == protocols[0] else 0)
            store = np.full((len(query), width), np.inf, np.float32)
            if keep_distances:
                common["distances"] = store[:, : len(gallery)]
                common["query_distances"] = store[:, len(gallery) :] if ranked_too else None
        blocks = watched(search.blocks(views.values()), len(query), store, left, len(gallery))
        if store is not None and by_host:
            deque(numbered(blocks), maxlen=0)
            cmc, mean_precision, valid = host_evaluation(
                store[:, left], query, search.gallery, use_metric_cuhk03=use_metric_cuhk03
            )
            ranked = len(search.gallery)
            found["torchreid"] = Ranking(
                "torchreid", cmc, mean_precision, None, valid, ranked, **common
            )
            break
        judged = find_matches(blocks, views)
        for name in group:
            matches = judged[name, None]
            require_a_match(matches.valid)
            each = scores(matches, ranks, trapezoids=RULES[name].trapezoids)
            found[name] = Ranking(
                name,
                curve(matches, MAX_RANK),
                float(each["mAP"].mean()),
                float(each["mINP"].mean()),
                int(matches.valid.sum()),
                len(views[name, None].gallery),
                **common,
            )
            if details:
                found[name] = _detailed(found[name], each, judged, query, lengths, ranks)
    return {name: found[name] for name in protocols}


def _sharing(protocols: Sequence[str]) -> list[list[str]]:
    """Group protocols by their gallery, since re-ranking depends on all of it.

    The first of the protocols is in the first group.
    """
    of_first = RULES[protocols[0]].queries_in_gallery
    groups = [
        [name for name in protocols if (RULES[name].queries_in_gallery == of_first) is alike]
        for alike in (True, False)
    ]
    return [group for group in groups if group]


def _detailed(
    ranking: Ranking,
    each: Scores,
    judged: Mapping[Sight, Matches],
    query: Labels,
    lengths: npt.NDArray[np.int64] | Sequence[int] | None,
    ranks: Sequence[int],
) -> Ranking:
    """Return a ranking with the intervals and the figures of parts of the test set."""
    cameras = {
        camera: matches
        for (protocol, camera), matches in judged.items()
        if protocol == ranking.protocol and camera is not None
    }
    trapezoids = RULES[ranking.protocol].trapezoids
    valid = judged[ranking.protocol, None].valid
    return replace(
        ranking,
        intervals=intervals(each),
        by_length=None if lengths is None else by_length(each, np.asarray(lengths)[valid]),
        camera_pairs=camera_pairs(query, cameras, ranks, trapezoids=trapezoids),
    )


def _views(search: Search, protocols: Sequence[str], *, by_camera: bool) -> dict[Sight, View]:
    """Return the galleries to search: each protocol's whole one, and each camera's part of it."""
    views: dict[Sight, View] = {}
    for name in protocols:
        gallery = search.gallery
        if RULES[name].queries_in_gallery:
            gallery = gallery + search.query
        views[name, None] = View(search.query, gallery, slice(0, len(gallery)))
        if by_camera:
            parts = camera_views(search.query, gallery)
            views |= {(name, camera): view for camera, view in parts.items()}
    return views


def _check_options(
    protocols: Sequence[str], distractors: str, evaluator: str, by_host: bool
) -> None:
    if not protocols:
        raise ValueError(f"No protocol is given: choose some of {', '.join(PROTOCOLS)}.")
    for option, values, known in (
        ("protocol", protocols, PROTOCOLS),
        ("choice of distractors", [distractors], DISTRACTORS),
        ("evaluator", [evaluator], EVALUATORS),
    ):
        for value in values:
            if value not in known:
                raise ValueError(
                    f"There is no {option} {value!r}: choose one of {', '.join(known)}."
                )
    if by_host and list(protocols) != ["torchreid"]:
        raise ValueError(
            f"torchreid's evaluator and CUHK03's metric know the protocol 'torchreid' alone, not "
            f"{', '.join(protocols)}: choose that one, or the evaluator 'nr3d' without CUHK03."
        )


def _usable(
    part: str,
    features: Tensor,
    labels: Labels,
    names: Sequence[str] | None,
    *,
    directions: bool,
    longest: float,
) -> Tensor:
    """Return the features of a set as float32, and refuse unusable ones.

    Args:
        part: name of the set, ``'query'`` or ``'gallery'``.
        features: features (N, D).
        labels: persons and cameras, (N,).
        names: names of the tracklets for messages, (N,).
        directions: whether the features are scaled to length 1, so that none may be all zeros.
        longest: greatest length of a feature with which no distance overflows.

    Raises:
        DataError: if there is no feature, or one cannot be used.
        ValueError: if the shapes do not fit each other.
    """
    if len(features) == 0:
        raise DataError(f"The {part} set is empty: nothing can be ranked.")
    if features.dim() != 2 or features.shape[1] == 0:
        raise ValueError(f"{part} features have shape {tuple(features.shape)}, expected (N, D)")
    if len(features) != len(labels):
        raise ValueError(f"There are {len(labels)} labels for {len(features)} {part} features.")
    features = features.detach().float()
    diverged = "the network has diverged or its weights are damaged."
    _require(features.isfinite().all(dim=1), part, names, f"is not finite: {diverged}")
    greatest = features.abs().amax(dim=1)
    if directions:
        _require(
            greatest > 0,
            part,
            names,
            "is all zeros, and has no direction to compare by (test.dist_metric cosine, "
            f"test.normalize_feature): {diverged}",
        )
        # Their squares could overflow or vanish, and torch treats 1e-12 as the shortest length.
        odd = (greatest > _LARGE) | (greatest < 1 / _LARGE)
        if bool(odd.any()):
            features = features.clone()
            features[odd] /= greatest[odd, None]
    elif bool((greatest * features.shape[1] ** 0.5 > longest).any()):
        lengths = features.double().norm(dim=1)
        _require(lengths <= longest, part, names, f"is too long to compare: {diverged}")
    return features


def _require(usable: Tensor, part: str, names: Sequence[str] | None, what: str) -> None:
    """Refuse a set with an unusable feature, naming the first."""
    if not bool(usable.all()):
        bad = int((~usable).nonzero()[0])
        raise DataError(f"The feature of {part} tracklet {names[bad] if names else bad} {what}")
