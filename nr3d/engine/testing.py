"""A test on one dataset: features of its tracklets, a ranking, and its figures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nr3d import parallel
from nr3d.engine.results import TestResult
from nr3d.features.extraction import TrackletFeatures, extract
from nr3d.features.inference import Inference, InferenceOptions
from nr3d.features.resources import explained
from nr3d.metrics import DISTRACTORS, EVALUATORS, MAX_RANK, PROTOCOLS, rank


@dataclass(frozen=True)
class TestOptions:
    """How a test is computed and judged.

    Args:
        inference: how features are computed.
        protocol: of :data:`nr3d.metrics.PROTOCOLS`, the one that counts.
        all_protocols_on: datasets that are judged by the others too.
        evaluator: ``'nr3d'``, or ``'torchreid'`` for torchreid's own.
        distractors: ``'keep'`` or ``'drop'`` the gallery's people that no query shows.
        memory: bytes that a ranking may take beside the features.
        details: give intervals, figures by tracklet length and by pair of cameras.

    Raises:
        ValueError: for an option that does not exist, or does not go with the others.
    """

    __test__ = False  # not a pytest class

    inference: InferenceOptions = field(default_factory=InferenceOptions)
    protocol: str = "torchreid"
    all_protocols_on: Sequence[str] = ()
    evaluator: str = "nr3d"
    distractors: str = "keep"
    memory: int = 1 << 30
    details: bool = False

    def __post_init__(self) -> None:
        for name, value, known in (
            ("protocol", self.protocol, PROTOCOLS),
            ("evaluator", self.evaluator, EVALUATORS),
            ("distractors", self.distractors, DISTRACTORS),
        ):
            if value not in known:
                raise ValueError(f"{name} is {value!r}, expected one of {list(known)}")
        if self.memory < 1:
            raise ValueError(f"memory is {self.memory}, expected at least 1 byte")
        if self.evaluator == "torchreid" and self.protocol != "torchreid":
            raise ValueError(
                f"protocol is {self.protocol!r}, which torchreid's evaluator does not know: take "
                "the evaluator 'nr3d'"
            )

    def protocols(self, dataset: str) -> tuple[str, ...]:
        """Which protocols a dataset is judged by; the one that counts is the first."""
        if dataset not in self.all_protocols_on or self.evaluator == "torchreid":
            return (self.protocol,)
        return (self.protocol, *(name for name in PROTOCOLS if name != self.protocol))


@dataclass(frozen=True)
class Judgement:
    """What a ranking was found to be."""

    results: Mapping[str, TestResult]
    """By protocol; the one that counts is the first."""
    distances: npt.NDArray[np.float32] | None
    """(Q, G), what the gallery was ranked by; None where it takes more than the memory given."""
    query_distances: npt.NDArray[np.float32] | None = None
    """(Q, Q), what the queries were ranked by, where the protocol that counts ranks them too."""

    @property
    def result(self) -> TestResult:
        """By the protocol that counts."""
        return next(iter(self.results.values()))


def checked_ranks(ranks: Sequence[int]) -> list[int]:
    """Return ranks to report as a list.

    Raises:
        ValueError: if there is none, or one outside 1..50.
    """
    ranks = list(ranks)
    if not ranks or min(ranks) < 1 or max(ranks) > MAX_RANK:
        raise ValueError(f"ranks are {ranks}, expected ranks from 1 to {MAX_RANK}")
    return ranks


def evaluate_dataset(
    name: str,
    loaders: Mapping[str, Any],
    inference: Inference,
    *,
    pooling: str = "avg",
    options: TestOptions,
    **rank_options: Any,
) -> Judgement:
    """Extract the features of a dataset's queries and gallery, and rank them.

    With several processes all extract, the first ranks, and all get the results.

    Args:
        name: of the dataset.
        loaders: of ``query`` and ``gallery``.
        inference: the network.
        pooling: from a tracklet's clips to its feature: ``'avg'`` or ``'max'``.
        options: how it is judged.
        rank_options: as for :func:`judge`.

    Raises:
        DataError: if a frame or a dataset is not usable.
        ValueError: for an unknown metric or protocol.
    """
    started = time.perf_counter()
    query, gallery = (
        extract(loaders[part], inference, pooling=pooling, name=part)
        for part in ("query", "gallery")
    )
    seconds = time.perf_counter() - started
    found = None
    if parallel.world().first:
        with explained("test.memory_gib", compile_key="test.compile"):
            found = judge(
                name,
                query,
                gallery,
                options=options,
                device=inference.device,
                extract_seconds=seconds,
                **rank_options,
            )
    results = parallel.of_first(None if found is None else found.results)
    return Judgement(results, None, None) if found is None else found


def judge(
    name: str,
    query: TrackletFeatures,
    gallery: TrackletFeatures,
    *,
    ranks: Sequence[int],
    options: TestOptions,
    device: torch.device | None = None,
    extract_seconds: float = 0.0,
    use_metric_cuhk03: bool = False,
    **rank_options: Any,
) -> Judgement:
    """Rank a gallery for its queries, and judge the ranking.

    Args:
        name: of the dataset.
        query, gallery: their features.
        ranks: to report; rank-1 always is.
        options: how it is judged.
        device: where distances are computed. Default is the processor.
        extract_seconds: that the features took.
        use_metric_cuhk03: one gallery tracklet per person, drawn, as CUHK03 is tested; the result's
            protocol is then ``'cuhk03'``.
        rank_options: ``dist_metric``, ``normalize_feature`` and ``rerank`` of
            :func:`nr3d.metrics.rank`.

    Raises:
        DataError: if there is nothing to rank, or a feature is not finite.
        ValueError: for an unknown metric or protocol.
    """
    started = time.perf_counter()
    ranks = sorted({1, *checked_ranks(ranks)})
    if use_metric_cuhk03 and options.protocol != "torchreid":
        raise ValueError(
            f"use_metric_cuhk03 goes with the protocol 'torchreid' alone, not {options.protocol!r}"
        )
    rankings = rank(
        query.features,
        gallery.features,
        query.labels,
        gallery.labels,
        # CUHK03's metric is torchreid's own routine, and what it finds is called by its name.
        protocols=("torchreid",) if use_metric_cuhk03 else options.protocols(name),
        use_metric_cuhk03=use_metric_cuhk03,
        distractors=options.distractors,
        evaluator=options.evaluator,
        memory=options.memory,
        device=device,
        lengths=query.frames,
        names=(query.names, gallery.names),
        ranks=ranks,
        details=options.details,
        **rank_options,
    )
    seconds = time.perf_counter() - started
    if use_metric_cuhk03:
        rankings = {"cuhk03": rankings["torchreid"]}
    results = {
        protocol: TestResult(
            dataset=name,
            protocol=protocol,
            mAP=ranking.mAP,
            mINP=ranking.mINP,
            ranks={r: float(ranking.cmc[r - 1]) for r in ranks},
            query=len(query.features),
            valid_queries=ranking.valid_queries,
            gallery=ranking.gallery,
            distractors=ranking.distractors,
            distractors_dropped=options.distractors == "drop",
            frames=int(query.frames.sum() + gallery.frames.sum()),
            clips=int(query.clips.sum() + gallery.clips.sum()),
            extract_seconds=extract_seconds,
            rank_seconds=seconds,
            details={
                "intervals": ranking.intervals,
                "by_length": ranking.by_length,
                "camera_pairs": ranking.camera_pairs,
            }
            if options.details
            else {},
        )
        for protocol, ranking in rankings.items()
    }
    first = next(iter(rankings.values()))
    return Judgement(results, first.distances, first.query_distances)
