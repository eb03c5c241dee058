"""COSAM: a trunk that attends to what the frames of a clip have in common.

Reference:
    Subramaniam, Nambiar and Mittal. Co-Segmentation Inspired Attention Networks for Video-Based
    Person Re-Identification. ICCV 2019.
"""

from __future__ import annotations

from nr3d.models.families.architecture import register_depths
from nr3d.models.families.not3d import SEQUENTIAL_TRUNK
from nr3d.weights.layouts import Layout, register_layout

register_depths(
    "cosam",
    "resnet_co_segmentation",
    "COSAM: ResNet-{depth} with co-segmentation, then the mean",
    {50: 27_202_739, 18: 12_139_443},
    aggregation="mean",
    feature="before",
    head="linear",
    recipe="cosam",
)

_PLACES = ((2, "layer3_5"), (3, "layer4_2"))
_PARTS = (
    ("dim_reduction", "describe"),
    ("spatial_mask_summary", "mask"),
    ("channelwise_attention", "gate"),
)
_MODULES = r"attention_modules\.attention_modules"

register_layout(
    Layout(
        "cosam",
        "the COSAM authors' code, with a ResNet-50 and the mean over time",
        (
            *("base.0.weight", "base.4.0.conv1.weight"),
            "attention_modules.attention_modules.2.dim_reduction.0.weight",
        ),
        (
            *SEQUENTIAL_TRUNK,
            *(
                (rf"{_MODULES}\.{number}\.{theirs}\.(.+)", rf"backbone.over_time.{place}.{ours}.\1")
                for number, place in _PLACES
                for theirs, ours in _PARTS
            ),
            (r"(classifier\..+)", r"\1"),
        ),
        aggregation="mean",
    )
)
