"""The networks of Not 3D Re-ID: a ResNet over frames, then spatial-temporal attention.

Reference:
    Alsehaim and Breckon. Not 3D Re-ID: Simple Single Stream 2D Convolution for Robust Video
    Re-identification. ICPR 2020. arXiv:2008.06318.
"""

from __future__ import annotations

from nr3d.models.families.architecture import register_architecture
from nr3d.weights.layouts import Layout, register_layout

for _name, _depth, _ibn, _parameters, _summary in (
    ("nr3d_resnet50_ibn", 50, True, 76_173_377, "ResNet-50-IBN-a, the paper's"),
    ("nr3d_resnet18_ibn", 18, True, 24_343_617, "ResNet-18-IBN-a, small and fast"),
    ("nr3d_resnet34_ibn", 34, True, 34_451_777, "ResNet-34-IBN-a"),
    ("nr3d_resnet101_ibn", 101, True, 95_165_505, "ResNet-101-IBN-a, the deepest"),
    ("nr3d_resnet50", 50, False, 76_173_377, "ResNet-50 without IBN, for comparison"),
    ("nr3d_resnet18", 18, False, 24_343_617, "ResNet-18 without IBN, for comparison"),
):
    register_architecture(
        _name,
        "resnet",
        {"depth": _depth, "ibn": _ibn},
        aggregation="attention",
        summary=_summary,
        parameters=_parameters,
        recipe="mars",
    )

ATTENTION = (
    (r"attention_conv\.(.+)", r"aggregation.spatial.\1"),
    (r"attention_tconv\.(.+)", r"aggregation.temporal.\1"),
)
"""Names of the attention's layers in its authors' code."""

SEQUENTIAL_TRUNK = (
    (r"base\.0\.(.+)", r"backbone.conv1.\1"),
    (r"base\.1\.(.+)", r"backbone.bn1.\1"),
    (r"base\.4\.(.+)", r"backbone.layer1.\1"),
    (r"base\.5\.(.+)", r"backbone.layer2.\1"),
    (r"base\.6\.(.+)", r"backbone.layer3.\1"),
    (r"base\.7\.(.+)", r"backbone.layer4.\1"),
)
"""Names of a ResNet's layers where they are numbered."""

register_layout(
    Layout(
        "not3d",
        "the Not 3D Re-ID authors' code",
        ("base.conv1.weight",),
        (
            (r"base\.(.+)", r"backbone.\1"),
            *ATTENTION,
            (r"((bottleneck|classifier)\..+)", r"\1"),
        ),
        ((r"class_\d+\..+", "a further classifier, for another training set"),),
        aggregation="attention",
    )
)
