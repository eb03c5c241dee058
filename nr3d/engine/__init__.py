"""Training and testing through torchreid's engine contract."""

from nr3d.engine.attention_rate import scale_attention_lr
from nr3d.engine.engine import VideoNot3DEngine
from nr3d.engine.judging import Judgement, judge
from nr3d.engine.records import append_record, read_records
from nr3d.engine.results import TestResult
from nr3d.engine.schedule import warmup_multi_step
from nr3d.engine.state import BEST, LAST
from nr3d.engine.step import StepOptions, TrainingStep
from nr3d.engine.stock import STOCK_ENGINES, StockSoftmaxEngine, StockTripletEngine
from nr3d.engine.testing import TestOptions
from nr3d.host import torchreid
from nr3d.registry import register_names

__all__ = [
    "BEST",
    "LAST",
    "STOCK_ENGINES",
    "Judgement",
    "StepOptions",
    "StockSoftmaxEngine",
    "StockTripletEngine",
    "TestOptions",
    "TestResult",
    "TrainingStep",
    "VideoNot3DEngine",
    "append_record",
    "judge",
    "read_records",
    "scale_attention_lr",
    "warmup_multi_step",
]

register_names(torchreid.engine, {"VideoNot3DEngine": VideoNot3DEngine})
