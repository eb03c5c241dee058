"""Group-confidence pooling, in the place of attribute-driven aggregation.

The published method learns its groups from attribute labels, and no code of it is public. Here the
groups and their confidences are learnt from identities alone, without any attribute labels.

Reference:
    Zhao et al. Attribute-Driven Feature Disentangling and Temporal Aggregation for Video Person
    Re-Identification. CVPR 2019.
"""

from __future__ import annotations

from nr3d.models.families.architecture import register_architecture

for _depth in (50, 18):
    register_architecture(
        f"group_confidence_resnet{_depth}",
        "resnet",
        {"depth": _depth, "ibn": False},
        aggregation="group_confidence",
        summary=f"groups with confidences on ResNet-{_depth}, no attribute labels",
        recipe="group_confidence",
    )
