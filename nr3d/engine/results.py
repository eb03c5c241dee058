"""What a test found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TestResult:
    """What a test found on one dataset."""

    __test__ = False  # not a pytest class

    dataset: str
    mAP: float
    """0..1"""
    ranks: dict[int, float]
    """Rank to the share of queries with a true match up to it, 0..1."""
    query: int
    valid_queries: int
    gallery: int
    frames: int
    clips: int
    extract_seconds: float
    rank_seconds: float

    @property
    def rank1(self) -> float:
        """Rank-1, 0..1."""
        return self.ranks[1]

    @property
    def figures(self) -> dict[str, float]:
        """``rank-1`` and the others asked for, and ``mAP``, as shares."""
        return {**{f"rank-{r}": share for r, share in self.ranks.items()}, "mAP": self.mAP}
