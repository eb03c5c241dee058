"""Feature stores: the features of a dataset's tracklets in a file."""

from nr3d.data.datasets.parts import SPLITS
from nr3d.features.store.layout import Origin
from nr3d.features.store.reading import FeatureStore
from nr3d.features.store.row import Row
from nr3d.features.store.writing import FeatureWriter

__all__ = ["SPLITS", "FeatureStore", "FeatureWriter", "Origin", "Row"]
