"""Weights: found in an index, downloaded, verified, loaded and published.

The index can be read without torch: what needs torch is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from nr3d.weights.entry import Metric, Source, WeightsEntry
from nr3d.weights.fetch import Verification, cached, fetch, verify
from nr3d.weights.index import add, available, find, user_index

if TYPE_CHECKING:
    from nr3d.weights.checkpoint import read_checkpoint, read_tensors, write_checkpoint
    from nr3d.weights.layouts import LAYOUTS, Layout
    from nr3d.weights.loading import LoadReport, load, load_pretrained
    from nr3d.weights.manifest import entry_of, facts_in
    from nr3d.weights.publish import Exported, entry_of_file, export
    from nr3d.weights.states import check_numbers

__all__ = [
    "LAYOUTS",
    "Exported",
    "Layout",
    "LoadReport",
    "Metric",
    "Source",
    "Verification",
    "WeightsEntry",
    "add",
    "available",
    "cached",
    "check_numbers",
    "entry_of",
    "entry_of_file",
    "export",
    "facts_in",
    "fetch",
    "find",
    "load",
    "load_pretrained",
    "read_checkpoint",
    "read_tensors",
    "user_index",
    "verify",
    "write_checkpoint",
]

_HOMES = {
    "check_numbers": "states",
    "Exported": "publish",
    "entry_of": "manifest",
    "entry_of_file": "publish",
    "export": "publish",
    "facts_in": "manifest",
    "LAYOUTS": "layouts",
    "Layout": "layouts",
    "LoadReport": "loading",
    "load": "loading",
    "load_pretrained": "loading",
    "read_checkpoint": "checkpoint",
    "read_tensors": "checkpoint",
    "write_checkpoint": "checkpoint",
}
"""Modules of the names that need torch."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
