"""Figures of one camera's queries in another camera's gallery, pair by pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nr3d.metrics.figures import scores, summary
from nr3d.metrics.labels import Labels
from nr3d.metrics.matches import Matches, View


def camera_views(query: Labels, gallery: Labels) -> dict[int, View]:
    """Return the gallery of each camera as a view of its own.

    Args:
        query: persons and cameras of the queries.
        gallery: persons and cameras in the first G columns of the distances.

    Returns:
        dict: view of each camera's gallery tracklets, by camera.
    """
    return {
        int(camera): View(query, gallery[columns], columns)
        for camera in np.unique(gallery.camids)
        for columns in [np.flatnonzero(gallery.camids == camera)]
    }


def camera_pairs(
    query: Labels, found: Mapping[int, Matches], ranks: Sequence[int], *, trapezoids: bool
) -> list[dict[str, Any]]:
    """Return rank-r and mAP by the query's camera and the gallery's, where there are queries.

    A query has no match under its own camera, so no camera is paired with itself.

    Args:
        query: persons and cameras of the queries.
        found: matches in each camera's gallery alone, by camera.
        ranks: ranks r to report, from 1.
        trapezoids: whether the area below a precision-recall curve is measured by trapezoids
            instead of steps.

    Returns:
        list: one dict of figures per pair, by the query's camera.

    Examples:
        >>> query, gallery = Labels.of([1, 2], [0, 0]), Labels.of([1, 2, 1], [1, 1, 2])
        >>> distances = np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]])
        >>> parts = camera_views(query, gallery)
        >>> found = {b: view.matches(distances, slice(0, 2)) for b, view in parts.items()}
        >>> for pair in camera_pairs(query, found, (1,), trapezoids=False):
        ...     print(pair)
        {'query_camera': 0, 'gallery_camera': 1, 'queries': 2, 'rank-1': 0.5, 'mAP': 0.75}
        {'query_camera': 0, 'gallery_camera': 2, 'queries': 1, 'rank-1': 1.0, 'mAP': 1.0}
    """
    pairs = []
    for gallery_camera, matches in found.items():
        of = dict(scores(matches, ranks, trapezoids=trapezoids))
        del of["mINP"]  # for a few entries under one camera, it says little more than mAP
        camids = query.camids[matches.valid]
        pairs += [
            {
                "query_camera": int(camera),
                "gallery_camera": gallery_camera,
                **summary(of, camids == camera),
            }
            for camera in np.unique(camids)
        ]
    return sorted(pairs, key=lambda pair: (pair["query_camera"], pair["gallery_camera"]))
