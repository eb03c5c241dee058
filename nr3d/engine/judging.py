"""Judgement of a dataset: figures of its ranking by each protocol, and pictures of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nr3d import parallel
from nr3d.data import Tracklet
from nr3d.engine.results import TestResult
from nr3d.engine.testing import TestOptions, check_test
from nr3d.errors import DataError
from nr3d.features.extraction import TrackletFeatures, extract
from nr3d.features.inference import Inference
from nr3d.features.resources import explained
from nr3d.files.atomic import sole_writer
from nr3d.metrics import METRICS, rank
from nr3d.report import write_rankings


@dataclass(frozen=True)
class Judgement:
    """Figures of the ranking of a dataset's gallery, by each protocol."""

    results: Mapping[str, TestResult]
    """Results by protocol, with the protocol that counts first."""
    distances: npt.NDArray[np.float32] | None
    """(Q, G) distances that the gallery was ranked by, infinite for what was left out; None if
    they exceed the memory of the test, and in all processes but the first."""
    query_distances: npt.NDArray[np.float32] | None = None
    """(Q, Q) distances of the queries, if the protocol that counts ranks them too."""

    @property
    def result(self) -> TestResult:
        """Result by the protocol that counts."""
        return next(iter(self.results.values()))


def judge_dataset(
    name: str,
    loaders: Mapping[str, Any],
    inference: Inference,
    *,
    pooling: str = "avg",
    options: TestOptions,
    **rank_options: Any,
) -> Judgement:
    """Extract the features of a dataset's queries and gallery, and judge their ranking.

    With several processes, all extract features, the first ranks, and all get the results.

    Args:
        name: name of the dataset.
        loaders: its loaders, by ``query`` and ``gallery``.
        inference: network, ready to extract features.
        pooling: pooling of the clips' features into the tracklet's: ``'avg'`` or ``'max'``.
        options: options of the test.
        rank_options: further arguments of :func:`judge`.

    Raises:
        DataError: if a frame or a dataset cannot be used.
        ValueError: if the metric or protocol is unknown.
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
    kind: str = "",
    **rank_options: Any,
) -> Judgement:
    """Rank a gallery for its queries, and judge the ranking.

    Args:
        name: name of the dataset.
        query, gallery: features of the two sets.
        ranks: ranks to report; rank-1 is always reported.
        options: options of the test.
        device: device that computes the distances. Default is the CPU.
        extract_seconds: wall-clock duration of the extraction, in seconds.
        use_metric_cuhk03: whether to keep one gallery tracklet per person, drawn at random, as
            CUHK03 is tested; the result's protocol is then ``'cuhk03'``.
        kind: kind of the tracklets if they are no video, one of
            :data:`nr3d.data.datasets.parts.KINDS`.
        rank_options: ``dist_metric``, ``normalize_feature`` and ``rerank`` of
            :func:`nr3d.metrics.rank`.

    Raises:
        DataError: if there is nothing to rank, or a feature is not finite.
        ValueError: if the metric or protocol is unknown.
    """
    started = time.perf_counter()
    metric = rank_options.get("dist_metric", METRICS[0])
    ranks = sorted({1, *check_test(options, metric, ranks, 1, use_metric_cuhk03)})
    rankings = rank(
        query.features,
        gallery.features,
        query.labels,
        gallery.labels,
        # CUHK03's metric is torchreid's own routine, and its figures go by torchreid's name.
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
    attention = None
    if query.attention is not None and gallery.attention is not None:
        attention = (query.attention + gallery.attention).health
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
            attention=attention,
            details={
                "intervals": ranking.intervals,
                "by_length": ranking.by_length,
                "camera_pairs": ranking.camera_pairs,
            }
            if options.details
            else {},
            tracklets=kind,
        )
        for protocol, ranking in rankings.items()
    }
    first = next(iter(rankings.values()))
    return Judgement(results, first.distances, first.query_distances)


def draw_judgement(
    judgement: Judgement,
    query: Sequence[Tracklet],
    gallery: Sequence[Tracklet],
    folder: Path,
    *,
    topk: int,
) -> list[Path]:
    """Draw the rankings of all queries of a dataset, by the protocol that counts.

    Args:
        judgement: judgement of the dataset.
        query, gallery: torchreid's tuples of the two sets.
        folder: folder in which ``visrank_<dataset>`` receives the pictures.
        topk: number of matches to draw for each query.

    Returns:
        list: files of the pages, in order.

    Raises:
        DataError: if the distances were too large to be kept.
    """
    result, distances = judgement.result, judgement.distances
    if distances is None:
        raise DataError(
            f"The {result.query} x {result.gallery} distances of {result.dataset} take more "
            "than test.memory_gib: raise it, or test without test.visrank."
        )
    if judgement.query_distances is not None:
        distances = np.concatenate([distances, judgement.query_distances], axis=1)
        gallery = [*gallery, *query]
    of = result.dataset
    if result.protocol != "torchreid":
        of = f"{of} by {result.protocol}"
    pictures = folder / f"visrank_{result.dataset}"
    with sole_writer(pictures):
        return write_rankings(
            distances,
            query,
            gallery,
            pictures,
            topk=topk,
            title=f"{of}: rank-1 {result.rank1:.1%}, mAP {result.mAP:.1%}",
        )
