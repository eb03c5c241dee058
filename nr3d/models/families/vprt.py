"""The network of Video Person Re-ID: Fantastic Techniques: a plain ResNet, then the attention.

Reference:
    Pathak, Eshratifar and Gormish. Video Person Re-ID: Fantastic Techniques and Where to Find
    Them. AAAI 2020. arXiv:1912.05295.
"""

from __future__ import annotations

from nr3d.models.families.architecture import register_depths
from nr3d.models.families.not3d import ATTENTION, SEQUENTIAL_TRUNK
from nr3d.weights.layouts import Layout, register_layout

register_depths(
    "vprt",
    "resnet",
    "VPRT: ResNet-{depth} with attention; its loss is vprt",
    {50: 76_173_377, 18: 24_343_617},
    trunk_options={"ibn": False},
    aggregation="attention",
    recipe="vprt",
)

register_layout(
    Layout(
        "vprt",
        "the code of Video Person Re-ID: Fantastic Techniques",
        ("base.0.weight", "base.4.0.conv1.weight"),
        (
            *SEQUENTIAL_TRUNK,
            *ATTENTION,
            (r"classifier\.bn\.(.+)", r"bottleneck.\1"),
            (r"classifier\.classifier\.(.+)", r"classifier.\1"),
        ),
        aggregation="attention",
    )
)
