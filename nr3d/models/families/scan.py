"""SCAN's self attention, on frames alone.

The whole method also needs optical flow and scores pairs of tracklets, so that there is no feature
of a tracklet; this is the half that has one.

Reference:
    Zhang et al. SCAN: Self-and-Collaborative Attention Network for Video Person Re-identification.
    IEEE Transactions on Image Processing 28, 2019. arXiv:1807.05688.
"""

from __future__ import annotations

from nr3d.models.families.architecture import register_depths

register_depths(
    "scan_self",
    "resnet",
    "SCAN's self attention on ResNet-{depth}, no optical flow",
    {50: 24_113_344, 18: 11_388_608},
    trunk_options={"ibn": False},
    aggregation="scan_self",
    feature="before",
    recipe="scan_self",
)
