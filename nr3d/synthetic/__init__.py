"""Synthetic people on synthetic cameras: a re-identification dataset that needs no download."""

from typing import TYPE_CHECKING

from nr3d.lazy import lazy
from nr3d.synthetic.settings import (
    CAMERA_SHIFT,
    DATASETS,
    GENERATOR_VERSION,
    OCCLUDED,
    OCCLUSION,
    OCCLUSIONS,
)

if TYPE_CHECKING:
    from nr3d.synthetic.ilidsvid import write_ilidsvid
    from nr3d.synthetic.layout import SyntheticSummary
    from nr3d.synthetic.mars import write_mars
    from nr3d.synthetic.prid2011 import write_prid2011
    from nr3d.synthetic.truth import FrameTruth, read_frames, read_occlusion
    from nr3d.synthetic.writers import WRITERS

__all__ = [
    "CAMERA_SHIFT",
    "DATASETS",
    "GENERATOR_VERSION",
    "OCCLUDED",
    "OCCLUSION",
    "OCCLUSIONS",
    "WRITERS",
    "FrameTruth",
    "SyntheticSummary",
    "read_frames",
    "read_occlusion",
    "write_ilidsvid",
    "write_mars",
    "write_prid2011",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "FrameTruth": "truth",
        "WRITERS": "writers",
        "SyntheticSummary": "layout",
        "read_frames": "truth",
        "read_occlusion": "truth",
        "write_ilidsvid": "ilidsvid",
        "write_mars": "mars",
        "write_prid2011": "prid2011",
    },
)
