"""Weights: found in an index, downloaded, verified, loaded and published."""

from nr3d.weights.checkpoint import read_checkpoint, read_tensors, write_checkpoint
from nr3d.weights.entry import Metric, Source, WeightsEntry
from nr3d.weights.fetch import Verification, cached, fetch, verify
from nr3d.weights.index import add, available, find, user_index
from nr3d.weights.layouts import LAYOUTS, Layout, register_layout
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
    "register_layout",
    "user_index",
    "verify",
    "write_checkpoint",
]
