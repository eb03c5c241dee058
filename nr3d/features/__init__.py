"""From a network to the features of tracklets, computed and stored."""

from nr3d.features.collecting import TrackletFeature
from nr3d.features.extraction import TrackletFeatures, extract, extract_each
from nr3d.features.inference import Inference, InferenceOptions
from nr3d.features.precision import PRECISIONS, Precision
from nr3d.features.store import SPLITS, FeatureStore, FeatureWriter, Origin, Row

__all__ = [
    "PRECISIONS",
    "SPLITS",
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
