"""Group-confidence pooling, in the place of attribute-driven aggregation.

The published method learns its groups from attribute labels, and no code of it is public. Here the
groups and their confidences are learnt from identities alone, without any attribute labels.

Reference:
    Zhao et al. Attribute-Driven Feature Disentangling and Temporal Aggregation for Video Person
    Re-Identification. CVPR 2019.
"""

from __future__ import annotations

from nr3d.models.families.architecture import register_depths

register_depths(
    "group_confidence",
    "resnet",
    "groups with confidences on ResNet-{depth}, no attribute labels",
    {50: 27_619_910, 18: 12_929_094},
    trunk_options={"ibn": False},
    aggregation="group_confidence",
    recipe="group_confidence",
)
