"""From clips to features: trunk, aggregation, neck and classifier."""

from nr3d.models.aggregation import (
    AGGREGATIONS,
    ClipFeatures,
    MeanAggregation,
    SpatialTemporalAttention,
    build_aggregation,
)
from nr3d.models.factory import ARCHITECTURES, Architecture
from nr3d.models.folding import folded
from nr3d.models.layers.ibn import IBN
from nr3d.models.layers.neck import BottleneckNorm
from nr3d.models.layers.normalisation import normalise
from nr3d.models.layers.synced_batch_norm import SyncedBatchNorm, synchronise_norms
from nr3d.models.trunks.resnet import FrameTrunk
from nr3d.models.video_reid import LOSSES, MARS_IDENTITIES, VideoReID
from nr3d.registry import register_models

__all__ = [
    "AGGREGATIONS",
    "ARCHITECTURES",
    "IBN",
    "LOSSES",
    "MARS_IDENTITIES",
    "Architecture",
    "BottleneckNorm",
    "ClipFeatures",
    "FrameTrunk",
    "MeanAggregation",
    "SpatialTemporalAttention",
    "SyncedBatchNorm",
    "VideoReID",
    "build_aggregation",
    "folded",
    "normalise",
    "synchronise_norms",
]

register_models(ARCHITECTURES)
