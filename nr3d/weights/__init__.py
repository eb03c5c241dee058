"""Weights: found in an index, downloaded, verified, loaded and published.

The index can be read without torch: what needs torch is imported when it is first used.
"""

from typing import TYPE_CHECKING

from nr3d.lazy import lazy
from nr3d.weights.entry import Metric, Source, WeightsEntry
from nr3d.weights.fetch import Verification, cached, fetch, verify
from nr3d.weights.index import add, available, find, user_index

if TYPE_CHECKING:
    from nr3d.weights.checkpoint import read_checkpoint, read_tensors, write_checkpoint
    from nr3d.weights.layouts import LAYOUTS, Layout, register_layout
    from nr3d.weights.loading import LoadReport, load, named_pretrained
    from nr3d.weights.manifest import entry_of, facts_in
    from nr3d.weights.publish import Exported, entry_of_file, export, how_to_build
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
    "how_to_build",
    "load",
    "named_pretrained",
    "read_checkpoint",
    "read_tensors",
    "register_layout",
    "user_index",
    "verify",
    "write_checkpoint",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "check_numbers": "states",
        "Exported": "publish",
        "entry_of": "manifest",
        "entry_of_file": "publish",
        "export": "publish",
        "how_to_build": "publish",
        "facts_in": "manifest",
        "register_layout": "layouts",
        "LAYOUTS": "layouts",
        "Layout": "layouts",
        "LoadReport": "loading",
        "load": "loading",
        "named_pretrained": "loading",
        "read_checkpoint": "checkpoint",
        "read_tensors": "checkpoint",
        "write_checkpoint": "checkpoint",
    },
)
