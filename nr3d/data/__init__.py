"""From frames to clips: torchreid's datasets, sampled and transformed as the method needs."""

from typing import TYPE_CHECKING

from nr3d.lazy import lazy

if TYPE_CHECKING:
    from nr3d.data.converted.dataset import register_converted
    from nr3d.data.converted.writing import convert
    from nr3d.data.datasets.half_splits import write_prid2011_splits
    from nr3d.data.frame_batches import FrameBatch, FrameBatches, FrameLoader
    from nr3d.data.frames import in_time_order, read_frame
    from nr3d.data.manager import ClipDataManager, ClipLoader, canonical_labels
    from nr3d.data.packs.reading import Pack
    from nr3d.data.packs.writing import pack
    from nr3d.data.sampler import IdentityPassSampler, SeededSampler
    from nr3d.data.sampling import (
        consecutive_frames,
        dense_clips,
        evenly,
        random_frames,
        restricted_random,
        restricted_with_rest,
    )
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
    "IdentityPassSampler",
    "Pack",
    "SeededSampler",
    "TestTracklets",
    "Tracklet",
    "canonical_labels",
    "consecutive_frames",
    "convert",
    "dense_clips",
    "evenly",
    "in_time_order",
    "pack",
    "random_frames",
    "read_frame",
    "register_converted",
    "restricted_random",
    "restricted_with_rest",
    "write_prid2011_splits",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "register_converted": "converted.dataset",
        "convert": "converted.writing",
        "write_prid2011_splits": "datasets.half_splits",
        "FrameBatch": "frame_batches",
        "FrameBatches": "frame_batches",
        "FrameLoader": "frame_batches",
        "in_time_order": "frames",
        "read_frame": "frames",
        "ClipDataManager": "manager",
        "ClipLoader": "manager",
        "canonical_labels": "manager",
        "Pack": "packs.reading",
        "pack": "packs.writing",
        "IdentityPassSampler": "sampler",
        "SeededSampler": "sampler",
        "consecutive_frames": "sampling",
        "dense_clips": "sampling",
        "evenly": "sampling",
        "random_frames": "sampling",
        "restricted_random": "sampling",
        "restricted_with_rest": "sampling",
        "ClipDataset": "tracklets",
        "TestTracklets": "tracklets",
        "Tracklet": "tracklets",
        "ClipTransform": "transforms",
    },
)
