"""M3D: dilated convolutions over time in the trunk, and a temporal pyramid of frame features.

Reference:
    Li, Zhang and Huang. Multi-scale Temporal Cues Learning for Video Person Re-Identification. IEEE
    Transactions on Image Processing 29, 2020.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nr3d.models.families.architecture import register_depths
from nr3d.models.families.gltr import PYRAMID, over_time
from nr3d.weights.layouts import Layout, register_layout

register_depths(
    "m3d",
    "resnet_m3d",
    "M3D: ResNet-{depth} with convolutions over time",
    {50: 27_415_857, 18: 14_887_729},
    aggregation="temporal_pyramid",
    feature="before",
    head="dropout",
    recipe="m3d",
)

_NORMS = ("feat_bn", "feat_bn1", "feat_bn2", "feat_bn3")


def _joined(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors in which the norms of the pyramid's four levels are one, ``feat_bn``."""
    arranged = over_time(state)
    for part in ("weight", "bias", "running_mean", "running_var"):
        keys = [f"{norm}.{part}" for norm in _NORMS]
        if all(key in arranged for key in keys):
            arranged[keys[0]] = torch.cat([arranged.pop(key) for key in keys])
    for norm in _NORMS[1:]:
        arranged.pop(f"{norm}.num_batches_tracked", None)  # as that of the first
    return arranged


_WITHIN = r"(layer[1-4])\.0\.conv2_t"


def _rules_of(step: int) -> tuple[tuple[str, str], ...]:
    """Return the rules of the layers over time for one dilation, 1 to 3."""
    stem, within = "backbone.over_time.stem", r"backbone.over_time.within_\1_0"
    place = step - 1
    return (
        (rf"conv1_t\.conv{step}\.(.+)", rf"{stem}.convolutions.{place}.\1"),
        (rf"conv1_t\.bn{step}\.(.+)", rf"{stem}.norms.{place}.\1"),
        (rf"{_WITHIN}\.conv{step}\.(.+)", rf"{within}.convolutions.{place}.\2"),
        (rf"{_WITHIN}\.bn{step}\.(.+)", rf"{within}.norms.{place}.\2"),
    )


register_layout(
    Layout(
        "m3d",
        "the M3D authors' code",
        (
            *("conv1_t.conv1.weight", "layer1.0.conv2_t.conv1.weight"),
            *("feat1.weight", "feat_bn1.weight"),
        ),
        (
            *(rule for step in (1, 2, 3) for rule in _rules_of(step)),
            (r"((conv1|bn1|layer[1-4])\..+)", r"backbone.\1"),
            *PYRAMID,
            (r"feat_bn\.(.+)", r"bottleneck.\1"),
            (r"(classifier\..+)", r"\1"),
        ),
        aggregation="temporal_pyramid",
        arrange=_joined,
    )
)
