"""GLTR: a temporal pyramid of frame features and temporal self-attention.

Reference:
    Li, Wang, Tian, Gao and Zhang. Global-Local Temporal Representations for Video Person
    Re-Identification. ICCV 2019. arXiv:1908.10049.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from nr3d.models.families.architecture import register_depths
from nr3d.weights.layouts import Layout, register_layout

register_depths(
    "gltr",
    "resnet",
    "GLTR: ResNet-{depth}, temporal pyramid and self-attention",
    {50: 24_766_001, 18: 12_237_873},
    trunk_options={"ibn": False},
    aggregation="gltr",
    feature="before",
    head="dropout",
    recipe="gltr",
)

PYRAMID = (
    (r"feat\.(.+)", r"aggregation.pyramid.reduction.\1"),
    (r"feat1\.weight", "aggregation.pyramid.convolutions.0.weight"),
    (r"feat2\.weight", "aggregation.pyramid.convolutions.1.weight"),
    (r"feat3\.weight", "aggregation.pyramid.convolutions.2.weight"),
)
"""Names of the pyramid's layers in its authors' code."""


def over_time(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors in which the pyramid's kernels are (out, in, 3) instead of (out, 1, 3, in)."""
    return {
        key: value[:, 0].transpose(1, 2).contiguous()
        if key in ("feat1.weight", "feat2.weight", "feat3.weight") and value.dim() == 4
        else value
        for key, value in state.items()
    }


register_layout(
    Layout(
        "gltr",
        "the GLTR authors' code",
        ("feat1.weight", "Nonlocal_block0.theta.weight", "layer1.0.conv1.weight"),
        (
            (r"((conv1|bn1|layer[1-4])\..+)", r"backbone.\1"),
            *PYRAMID,
            (r"Nonlocal_block0\.(theta|phi|g)\.(.+)", r"aggregation.attention.\1.\2"),
            (r"Nonlocal_block0\.W\.0\.(.+)", r"aggregation.attention.out.\1"),
            (r"Nonlocal_block0\.W\.1\.(.+)", r"aggregation.attention.norm.\1"),
            (r"feat_bn\.(.+)", r"bottleneck.\1"),
            (r"(classifier\..+)", r"\1"),
        ),
        aggregation="gltr",
        arrange=over_time,
    )
)
