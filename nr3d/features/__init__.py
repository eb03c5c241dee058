"""Features of a dataset's tracklets in a file."""

from nr3d.features.layout import SPLITS, Origin
from nr3d.features.row import Row
from nr3d.features.store import FeatureStore
from nr3d.features.writer import FeatureWriter

__all__ = ["SPLITS", "FeatureStore", "FeatureWriter", "Origin", "Row"]
