"""The networks of Multiple Views Knowledge Distillation: a linear last block, then the mean.

Reference:
    Porrello, Bergamini and Calderara. Robust Re-Identification by Multiple Views Knowledge
    Distillation. ECCV 2020. arXiv:2007.04174.
"""

from __future__ import annotations

from nr3d.models.families.architecture import register_depths
from nr3d.weights.layouts import Layout, register_layout

register_depths(
    "vkd",
    "resnet",
    "VKD's ResNet-{depth}, mean over frames; has MARS weights",
    {50: 24_792_128, 101: 43_784_256},
    trunk_options={"ibn": False, "last_relu": False},
    aggregation="mean",
    feature="before",
)

register_layout(
    Layout(
        "vkd",
        "the code of Multiple Views Knowledge Distillation",
        ("backbone.features_layers.0.0.weight",),
        (
            (r"backbone\.features_layers\.0\.0\.(.+)", r"backbone.conv1.\1"),
            (r"backbone\.features_layers\.0\.1\.(.+)", r"backbone.bn1.\1"),
            (r"backbone\.features_layers\.([1-4])\.0\.(.+)", r"backbone.layer\1.\2"),
            (r"classifier\.bottleneck\.(.+)", r"bottleneck.\1"),
            (r"classifier\.classifier\.(.+)", r"classifier.\1"),
        ),
        last_relu=False,
        aggregation="mean",
    )
)
