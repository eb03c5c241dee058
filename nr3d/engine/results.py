"""The result of a test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nr3d.models import AttentionHealth


@dataclass(frozen=True)
class TestResult:
    """Result of a test on one dataset, by one protocol."""

    __test__ = False  # not a pytest class

    dataset: str
    protocol: str
    mAP: float
    """Mean average precision, 0..1."""
    mINP: float | None
    """Mean inverse negative penalty, 0..1; None with torchreid's evaluator, which has none."""
    ranks: dict[int, float]
    """Share of queries with a true match up to a rank, 0..1, by rank."""
    query: int
    valid_queries: int
    gallery: int
    distractors: int
    """Number of gallery tracklets of people that no query shows."""
    distractors_dropped: bool
    frames: int
    clips: int
    extract_seconds: float
    rank_seconds: float
    attention: AttentionHealth | None = None
    """Health of the attention in the clips; None if there is none, or nothing to judge it by."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Intervals, figures by tracklet length and by pair of cameras; empty if not requested."""
    tracklets: str = ""
    """What the tracklets are if they are no video, one of
    :data:`nr3d.data.datasets.parts.KINDS`."""

    @property
    def rank1(self) -> float:
        """Rank-1, 0..1."""
        return self.ranks[1]

    @property
    def figures(self) -> dict[str, float]:
        """``rank-1`` and the other reported ranks, and ``mAP``, as shares 0..1."""
        return {**{f"rank-{r}": share for r, share in self.ranks.items()}, "mAP": self.mAP}

    def summary(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {
            "protocol": self.protocol,
            **({"tracklets": self.tracklets} if self.tracklets else {}),
            **self.figures,
            "mINP": self.mINP,
            "query": self.query,
            "valid_queries": self.valid_queries,
            "gallery": self.gallery,
            "distractors": self.distractors,
            "distractors_dropped": self.distractors_dropped,
            "frames": self.frames,
            "clips": self.clips,
            "extract_seconds": self.extract_seconds,
            "rank_seconds": self.rank_seconds,
            "attention": None if self.attention is None else self.attention.summary(),
            **self.details,
        }


def kind_of_test(datamanager: Any, dataset: str) -> str:
    """Return what the test tracklets of a dataset are if they are no video; empty if they are.

    Args:
        datamanager: data manager of nr3d's, or torchreid's own.
        dataset: name of the dataset.
    """
    kinds: Mapping[str, str] = getattr(datamanager, "test_kinds", {})
    return kinds.get(dataset, "")
