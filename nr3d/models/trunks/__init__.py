"""Trunks: from frames or whole clips to feature maps."""

from nr3d.models.trunks.clip_trunk import ClipTrunk
from nr3d.models.trunks.co_segmentation import CoSegmentationTrunk
from nr3d.models.trunks.m3d import M3DTrunk
from nr3d.models.trunks.non_local import NonLocalTrunk
from nr3d.models.trunks.registry import TRUNKS, register_trunk
from nr3d.models.trunks.resnet import FrameTrunk
from nr3d.models.trunks.torchreid_network import TorchreidTrunk

__all__ = [
    "TRUNKS",
    "ClipTrunk",
    "CoSegmentationTrunk",
    "FrameTrunk",
    "M3DTrunk",
    "NonLocalTrunk",
    "TorchreidTrunk",
    "register_trunk",
]
