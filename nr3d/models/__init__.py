"""From clips to features: trunk, aggregation, neck and classifier.

Use :func:`register_trunk`, :func:`register_aggregation` and :func:`register_architecture` to add
your own trunks, aggregations and architectures. Any image network of torchreid is an architecture
too: see :func:`architecture_of`.
"""

from nr3d.models.aggregations import (
    AGGREGATIONS,
    INITIALISATIONS,
    AttentionHealth,
    ClipFeatures,
    LiveAttention,
    MeanAggregation,
    SpatialTemporalAttention,
    build_aggregation,
    kaiming_,
    register_aggregation,
)
from nr3d.models.families import (
    ARCHITECTURES,
    Architecture,
    architecture_of,
    find_architecture,
    register_architecture,
)
from nr3d.models.folding import folded
from nr3d.models.heads import HEADS, build_head, register_head
from nr3d.models.layers.ibn import IBN
from nr3d.models.layers.memory_format import channels_innermost
from nr3d.models.layers.neck import BottleneckNorm
from nr3d.models.layers.normalisation import normalise
from nr3d.models.layers.synced_batch_norm import SyncedBatchNorm, synchronise_norms
from nr3d.models.trunks import TRUNKS, FrameTrunk, register_trunk
from nr3d.models.video_reid import LOSSES, MARS_IDENTITIES, VideoReID
from nr3d.registry import find_video_models_by, register_models

__all__ = [
    "AGGREGATIONS",
    "ARCHITECTURES",
    "HEADS",
    "IBN",
    "INITIALISATIONS",
    "LOSSES",
    "MARS_IDENTITIES",
    "TRUNKS",
    "Architecture",
    "AttentionHealth",
    "BottleneckNorm",
    "ClipFeatures",
    "FrameTrunk",
    "LiveAttention",
    "MeanAggregation",
    "SpatialTemporalAttention",
    "SyncedBatchNorm",
    "VideoReID",
    "architecture_of",
    "build_aggregation",
    "build_head",
    "channels_innermost",
    "find_architecture",
    "folded",
    "kaiming_",
    "normalise",
    "register_aggregation",
    "register_architecture",
    "register_head",
    "register_trunk",
    "synchronise_norms",
]

ARCHITECTURES.follow(register_models)
find_video_models_by(architecture_of)
