"""Aggregations: from the frames' feature maps to one clip feature."""

from nr3d.models.aggregations.attention import LiveAttention, SpatialTemporalAttention
from nr3d.models.aggregations.attention_health import AttentionHealth
from nr3d.models.aggregations.clip_features import ClipFeatures
from nr3d.models.aggregations.group_confidence import GroupConfidence
from nr3d.models.aggregations.initialisation import INITIALISATIONS, kaiming_
from nr3d.models.aggregations.mean import MeanAggregation
from nr3d.models.aggregations.registry import (
    AGGREGATIONS,
    build_aggregation,
    register_aggregation,
)
from nr3d.models.aggregations.self_attention import ChannelSelfAttention
from nr3d.models.aggregations.temporal_pyramid import GlobalLocal, PyramidMean, TemporalPyramid

__all__ = [
    "AGGREGATIONS",
    "INITIALISATIONS",
    "AttentionHealth",
    "ChannelSelfAttention",
    "ClipFeatures",
    "GlobalLocal",
    "GroupConfidence",
    "LiveAttention",
    "MeanAggregation",
    "PyramidMean",
    "SpatialTemporalAttention",
    "TemporalPyramid",
    "build_aggregation",
    "kaiming_",
    "register_aggregation",
]
