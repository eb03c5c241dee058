"""From features to a ranking and its figures."""

from nr3d.metrics.ranking import MAX_RANK, Labels, Ranking, rank

__all__ = ["MAX_RANK", "Labels", "Ranking", "rank"]
