"""Synthetic people on synthetic cameras: a re-identification dataset that needs no download."""

from __future__ import annotations

from collections.abc import Callable

from nr3d.synthetic.dataset import (
    CAMERA_SHIFT,
    GENERATOR_VERSION,
    OCCLUDED,
    read_occlusion,
)
from nr3d.synthetic.ilidsvid import write_ilidsvid
from nr3d.synthetic.layout import SyntheticSummary
from nr3d.synthetic.mars import write_mars
from nr3d.synthetic.prid2011 import write_prid2011

WRITERS: dict[str, Callable[..., SyntheticSummary]] = {
    "mars": write_mars,
    "prid2011": write_prid2011,
    "ilidsvid": write_ilidsvid,
}
"""Functions that draw a dataset, by torchreid's name of the dataset whose layout they use."""

__all__ = [
    "CAMERA_SHIFT",
    "GENERATOR_VERSION",
    "OCCLUDED",
    "WRITERS",
    "SyntheticSummary",
    "read_occlusion",
    "write_ilidsvid",
    "write_mars",
    "write_prid2011",
]
