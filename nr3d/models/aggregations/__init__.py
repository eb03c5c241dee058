"""Aggregations: from the frames' feature maps to one clip feature."""

from nr3d.models.aggregations.attention import LiveAttention, SpatialTemporalAttention
from nr3d.models.aggregations.attention_health import AttentionHealth
from nr3d.models.aggregations.clip_features import ClipFeatures
from nr3d.models.aggregations.initialisation import INITIALISATIONS, kaiming_
from nr3d.models.aggregations.mean import MeanAggregation
from nr3d.models.aggregations.registry import (
    AGGREGATIONS,
    build_aggregation,
    register_aggregation,
)

__all__ = [
    "AGGREGATIONS",
    "INITIALISATIONS",
    "AttentionHealth",
    "ClipFeatures",
    "LiveAttention",
    "MeanAggregation",
    "SpatialTemporalAttention",
    "build_aggregation",
    "kaiming_",
    "register_aggregation",
]
