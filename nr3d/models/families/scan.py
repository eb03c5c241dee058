"""SCAN's self attention, on frames alone.

The whole method also needs optical flow and scores pairs of tracklets, so that there is no feature
of a tracklet; this is the half that has one.

Reference:
    Zhang et al. SCAN: Self-and-Collaborative Attention Network for Video Person Re-identification.
    IEEE Transactions on Image Processing 28, 2019. arXiv:1807.05688.
"""

from __future__ import annotations

from nr3d.models.families.architecture import register_architecture

for _depth in (50, 18):
    register_architecture(
        f"scan_self_resnet{_depth}",
        "resnet",
        {"depth": _depth, "ibn": False},
        aggregation="scan_self",
        feature="before",
        summary=f"SCAN's self attention on ResNet-{_depth}, no optical flow",
        recipe="scan_self",
    )
