"""Default settings of synthetic datasets, importable without what draws them."""

from __future__ import annotations

GENERATOR_VERSION = 1
"""Version of the drawing; the same version and settings give the same bytes."""

DATASETS = ("mars", "prid2011", "ilidsvid")
"""Names of the datasets whose layouts can be drawn."""

OCCLUSION = "usual"
"""Default kind of occlusion."""

OCCLUDED = 0.2
"""Default share of the tracklets in which something passes in front of the person."""

OCCLUSIONS = {"usual": OCCLUDED, "heavy": 0.9}
"""Kinds of occlusion, with the default share of the tracklets that suffer from them."""

CAMERA_SHIFT = 1.0
"""Default factor for the differences between the colours of the cameras."""
