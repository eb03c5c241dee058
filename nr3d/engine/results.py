"""What a test found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TestResult:
    """What a test found on one dataset, by one protocol."""

    __test__ = False  # not a pytest class

    dataset: str
    protocol: str
    mAP: float
    """0..1"""
    mINP: float | None
    """0..1; None where torchreid's evaluator judged, which does not give it."""
    ranks: dict[int, float]
    """Rank to the share of queries with a true match up to it, 0..1."""
    query: int
    valid_queries: int
    gallery: int
    distractors: int
    """Gallery tracklets of people that no query shows."""
    distractors_dropped: bool
    frames: int
    clips: int
    extract_seconds: float
    rank_seconds: float
    details: Mapping[str, Any] = field(default_factory=dict)
    """Intervals, figures by tracklet length and by pair of cameras, where they were asked for."""

    @property
    def rank1(self) -> float:
        """Rank-1, 0..1."""
        return self.ranks[1]

    @property
    def figures(self) -> dict[str, float]:
        """``rank-1`` and the others asked for, and ``mAP``, as shares."""
        return {**{f"rank-{r}": share for r, share in self.ranks.items()}, "mAP": self.mAP}

    def summary(self) -> dict[str, Any]:
        """Give everything as plain values, for a machine."""
        return {
            "protocol": self.protocol,
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
            **self.details,
        }
