"""From features to a ranking and its figures."""

from nr3d.metrics.distances import METRICS
from nr3d.metrics.evaluation import MAX_RANK, evaluate_rank
from nr3d.metrics.labels import Labels
from nr3d.metrics.protocols import PROTOCOLS, RULES
from nr3d.metrics.ranking import DISTRACTORS, EVALUATORS, Ranking, rank
from nr3d.metrics.reranking import re_ranking

__all__ = [
    "DISTRACTORS",
    "EVALUATORS",
    "MAX_RANK",
    "METRICS",
    "PROTOCOLS",
    "RULES",
    "Labels",
    "Ranking",
    "evaluate_rank",
    "rank",
    "re_ranking",
]
