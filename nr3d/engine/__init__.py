"""Training and testing through torchreid's engine."""

from nr3d.engine.extraction import TrackletFeature, TrackletFeatures, extract, extract_each
from nr3d.engine.inference import Inference, InferenceOptions
from nr3d.engine.not3d import VideoNot3DEngine
from nr3d.engine.precision import PRECISIONS, Precision
from nr3d.engine.records import append_record, read_records
from nr3d.engine.results import TestResult
from nr3d.engine.schedule import warmup_multi_step
from nr3d.engine.state import BEST, LAST
from nr3d.engine.step import StepOptions, TrainingStep
from nr3d.engine.testing import Judgement, TestOptions, judge

__all__ = [
    "BEST",
    "LAST",
    "PRECISIONS",
    "Inference",
    "InferenceOptions",
    "Judgement",
    "Precision",
    "StepOptions",
    "TestOptions",
    "TestResult",
    "TrackletFeature",
    "TrackletFeatures",
    "TrainingStep",
    "VideoNot3DEngine",
    "append_record",
    "extract",
    "extract_each",
    "judge",
    "read_records",
    "warmup_multi_step",
]
