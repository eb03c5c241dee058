"""Extraction and storage of the features of tracklets."""

from typing import TYPE_CHECKING

from nr3d.data.datasets.parts import SPLITS
from nr3d.lazy import lazy

if TYPE_CHECKING:
    from nr3d.features.attention import AttentionSums
    from nr3d.features.collecting import TrackletFeature
    from nr3d.features.extraction import TrackletFeatures, extract, extract_each
    from nr3d.features.inference import Inference, InferenceOptions
    from nr3d.features.precision import PRECISIONS, Precision
    from nr3d.features.store.layout import Origin
    from nr3d.features.store.reading import FeatureStore
    from nr3d.features.store.row import Row
    from nr3d.features.store.writing import FeatureWriter

__all__ = [
    "PRECISIONS",
    "SPLITS",
    "AttentionSums",
    "FeatureStore",
    "FeatureWriter",
    "Inference",
    "InferenceOptions",
    "Origin",
    "Precision",
    "Row",
    "TrackletFeature",
    "TrackletFeatures",
    "extract",
    "extract_each",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "AttentionSums": "attention",
        "TrackletFeature": "collecting",
        "TrackletFeatures": "extraction",
        "extract": "extraction",
        "extract_each": "extraction",
        "Inference": "inference",
        "InferenceOptions": "inference",
        "PRECISIONS": "precision",
        "Precision": "precision",
        "Origin": "store.layout",
        "FeatureStore": "store.reading",
        "Row": "store.row",
        "FeatureWriter": "store.writing",
    },
)
