"""Training and testing through torchreid's engine."""

from nr3d.engine.not3d import StepOptions, VideoNot3DEngine
from nr3d.engine.precision import PRECISIONS, Precision
from nr3d.engine.records import append_record, read_records
from nr3d.engine.results import TestResult
from nr3d.engine.schedule import warmup_multi_step
from nr3d.engine.state import BEST, LAST

__all__ = [
    "BEST",
    "LAST",
    "PRECISIONS",
    "Precision",
    "StepOptions",
    "TestResult",
    "VideoNot3DEngine",
    "append_record",
    "read_records",
    "warmup_multi_step",
]
