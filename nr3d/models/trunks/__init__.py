"""Trunks: from frames or whole clips to feature maps."""

from nr3d.models.trunks.registry import TRUNKS, register_trunk
from nr3d.models.trunks.resnet import FrameTrunk

__all__ = ["TRUNKS", "FrameTrunk", "register_trunk"]
