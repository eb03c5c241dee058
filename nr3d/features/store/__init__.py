"""Feature stores: the features of a dataset's tracklets in a file."""

from typing import TYPE_CHECKING

from nr3d.lazy import lazy

if TYPE_CHECKING:
    from nr3d.features.store.layout import Origin
    from nr3d.features.store.reading import FeatureStore
    from nr3d.features.store.row import Row
    from nr3d.features.store.writing import FeatureWriter

__all__ = ["FeatureStore", "FeatureWriter", "Origin", "Row"]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "Origin": "layout",
        "FeatureStore": "reading",
        "Row": "row",
        "FeatureWriter": "writing",
    },
)
