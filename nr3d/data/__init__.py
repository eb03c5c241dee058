"""From frames to clips: torchreid's datasets, sampled and transformed as the method needs."""

from nr3d.data.converted.dataset import register_converted
from nr3d.data.converted.writing import convert
from nr3d.data.datasets.half_splits import write_prid2011_splits
from nr3d.data.frame_batches import FrameBatch, FrameBatches, FrameLoader
from nr3d.data.frames import in_time_order, read_frame
from nr3d.data.manager import ClipDataManager, ClipLoader, canonical_labels
from nr3d.data.packs.reading import Pack
from nr3d.data.packs.writing import pack
from nr3d.data.sampler import SeededSampler
from nr3d.data.sampling import dense_clips, evenly, random_frames, restricted_random
from nr3d.data.tracklets import ClipDataset, TestTracklets, Tracklet
from nr3d.data.transforms import ClipTransform

__all__ = [
    "ClipDataManager",
    "ClipDataset",
    "ClipLoader",
    "ClipTransform",
    "FrameBatch",
    "FrameBatches",
    "FrameLoader",
    "Pack",
    "SeededSampler",
    "TestTracklets",
    "Tracklet",
    "canonical_labels",
    "convert",
    "dense_clips",
    "evenly",
    "in_time_order",
    "pack",
    "random_frames",
    "read_frame",
    "register_converted",
    "restricted_random",
    "write_prid2011_splits",
]
