"""The re-identification network of VRSTC: non-local blocks, without its completion of frames.

The completion network is not public in any form, so that this is half of the method. The layout of
the blocks is that of NVAN, whose public weights fit.

Reference:
    Hou et al. VRSTC: Occlusion-Free Video Person Re-Identification. CVPR 2019. arXiv:1907.08427.
    Liu et al. Spatially and Temporally Efficient Non-local Attention Network for Video-based Person
    Re-Identification. BMVC 2019. arXiv:1908.01683.
"""

from __future__ import annotations

from nr3d.models.families.architecture import register_depths
from nr3d.weights.layouts import Layout, register_layout

register_depths(
    "vrstc_reid",
    "resnet_non_local",
    "VRSTC's re-ID half: ResNet-{depth} with non-local blocks, no completion",
    {50: 32_150_592, 18: 11_828_672},
    trunk_options={"stem_relu": False},
    aggregation="mean",
    recipe="vrstc_reid",
)

_PLACES = {"NL_2": ("layer2_2", "layer2_3"), "NL_3": ("layer3_3", "layer3_4", "layer3_5")}


def _rules_of(theirs: str, place: str) -> tuple[tuple[str, str], ...]:
    """Return the rules of one non-local block."""
    block, ours = rf"features\.backbone\.{theirs}", f"backbone.over_time.{place}"
    return (
        (rf"{block}\.(theta|phi|g)\.(.+)", rf"{ours}.\1.\2"),
        (rf"{block}\.W\.0\.(.+)", rf"{ours}.out.\1"),
        (rf"{block}\.W\.1\.(.+)", rf"{ours}.norm.\1"),
    )


register_layout(
    Layout(
        "nvan",
        "the NVAN authors' code",
        ("features.backbone.conv1.weight", "features.backbone.NL_2.0.theta.weight"),
        (
            *(
                rule
                for blocks, places in _PLACES.items()
                for number, place in enumerate(places)
                for rule in _rules_of(rf"{blocks}\.{number}", place)
            ),
            (r"features\.backbone\.((conv1|bn1|layer[1-4])\..+)", r"backbone.\1"),
            (r"((bottleneck|classifier)\..+)", r"\1"),
        ),
        aggregation="mean",
    )
)
