"""Evaluation protocols, whose figures cannot be compared with each other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    """Rules of an evaluation protocol.

    Attributes:
        queries_in_gallery: whether the queries are gallery entries too, except in their own search.
        trapezoids: whether average precision is the area of trapezoids below the precision-recall
            curve instead of that of steps.
    """

    queries_in_gallery: bool
    trapezoids: bool


RULES = {
    # Steps, and the gallery as it is given: torchreid's Mars leaves the queries out of it.
    "torchreid": Rules(queries_in_gallery=False, trapezoids=False),
    # Zheng et al. MARS: A Video Benchmark for Large-Scale Person Re-identification. ECCV 2016,
    # as in its evaluation code: 1,980 queries in a gallery of 11,310.
    "mars-official": Rules(queries_in_gallery=True, trapezoids=True),
    # Gu et al. Appearance-Preserving 3D Convolution for Video-based Person Re-identification. ECCV
    # 2020. arXiv:2007.08434, as in its code and in code derived from it: that gallery, but steps.
    "ap3d": Rules(queries_in_gallery=True, trapezoids=False),
}

PROTOCOLS = tuple(RULES)
"""Names of the protocols."""
