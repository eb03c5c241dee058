"""Options of a test, and the check of its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from nr3d.features.inference import InferenceOptions
from nr3d.metrics import DISTRACTORS, EVALUATORS, MAX_RANK, METRICS, PROTOCOLS


@dataclass(frozen=True)
class TestOptions:
    """Options of a test.

    Args:
        inference: options of the feature extraction.
        protocol: protocol that counts, one of :data:`nr3d.metrics.PROTOCOLS`.
        all_protocols_on: names of the datasets that are judged by the other protocols too.
        evaluator: code that judges a ranking: ``'nr3d'``, or ``'torchreid'`` for torchreid's own.
        distractors: ``'keep'`` or ``'drop'``, for gallery tracklets of people that no query shows.
        memory: memory that a ranking may take besides the features, in bytes.
        details: whether to compute intervals, and figures by tracklet length and camera pair.

    Raises:
        ValueError: if an option has an unknown value, or one that contradicts another option.
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
        """Return the protocols that a dataset is judged by, the one that counts first."""
        if dataset not in self.all_protocols_on or self.evaluator == "torchreid":
            return (self.protocol,)
        return (self.protocol, *(name for name in PROTOCOLS if name != self.protocol))


def checked_ranks(ranks: Sequence[int]) -> list[int]:
    """Return ranks to report as a list.

    Raises:
        ValueError: if there is none, or one outside 1..50.
    """
    ranks = list(ranks)
    if not ranks or min(ranks) < 1 or max(ranks) > MAX_RANK:
        raise ValueError(f"ranks are {ranks}, expected ranks from 1 to {MAX_RANK}")
    return ranks


def check_test(
    options: TestOptions,
    dist_metric: str,
    ranks: Sequence[int],
    topk: int,
    use_metric_cuhk03: bool,
) -> list[int]:
    """Refuse invalid arguments of a test before the hours of work that precede it.

    Args:
        options: options of the test.
        dist_metric, ranks, use_metric_cuhk03: as for torchreid's ``Engine.test``.
        topk: number of matches to draw for each query.

    Returns:
        list: the ranks.

    Raises:
        ValueError: if an argument is invalid, or contradicts the options.
    """
    if dist_metric not in METRICS:
        raise ValueError(f"dist_metric is {dist_metric!r}, expected one of {list(METRICS)}")
    if topk < 1:
        raise ValueError(f"visrank_topk is {topk}, expected at least 1")
    if use_metric_cuhk03 and options.protocol != "torchreid":
        raise ValueError(
            f"use_metric_cuhk03 is a protocol of its own and the protocol is "
            f"{options.protocol!r}, expected 'torchreid' with it"
        )
    return checked_ranks(ranks)
