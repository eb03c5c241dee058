"""torchreid's own evaluator, also for galleries that are too small for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nr3d.host import torchreid
from nr3d.metrics.distances import parts
from nr3d.metrics.evaluation import MAX_RANK
from nr3d.metrics.labels import Labels
from nr3d.metrics.matches import View, require_a_match

# Number of queries evaluated at a time: torchreid holds (queries, G) arrays of places and matches.
_AT_ONCE = 64


def host_evaluation(
    distances: npt.NDArray[Any], query: Labels, gallery: Labels, *, use_metric_cuhk03: bool = False
) -> tuple[npt.NDArray[np.float32], float, int]:
    """Evaluate a distance matrix with ``torchreid.metrics.evaluate_rank`` itself.

    Args:
        distances: distances (Q, G).
        query, gallery: persons and cameras of the two sets.
        use_metric_cuhk03: whether to keep one gallery entry per person, drawn at random, as CUHK03
            is tested.

    Returns:
        tuple: the cumulative matching curve, (50,), the mean average precision, and the number of
        queries with a match.

    Raises:
        DataError: if no query has a match.

    Examples:
        >>> query, gallery = Labels.of([1], [0]), Labels.of([2, 1], [1, 1])
        >>> curve, mAP, valid = host_evaluation(np.array([[0.2, 0.1]]), query, gallery)
        >>> curve[:2], float(mAP), valid
        (array([1., 1.], dtype=float32), 1.0, 1)
    """
    has_match, left = entries_left(query, gallery)
    require_a_match(has_match)
    if use_metric_cuhk03:
        left = np.array([len(np.unique(gallery.pids)) - 1])  # one per person, the query's or not
    short = max(0, MAX_RANK - int(left.min()))
    if short:
        # Far-away strangers behind the real gallery make every curve long enough and change
        # neither the curve before them nor any precision.
        strangers = min(query.pids.min(), gallery.pids.min()) - 1 - np.arange(short)
        distances = np.pad(distances, ((0, 0), (0, short)), constant_values=np.inf)
        gallery = gallery + Labels(strangers, np.zeros(short, np.int64))
    curve, precision = np.zeros(MAX_RANK), 0.0
    for part in parts(len(query), _AT_ONCE):
        counted = int(has_match[part].sum())
        if counted == 0:
            continue
        some = query[part]
        part_curve, part_mean = torchreid.metrics.evaluate_rank(
            distances[part],
            *(some.pids, gallery.pids, some.camids, gallery.camids),
            max_rank=MAX_RANK,
            use_metric_cuhk03=use_metric_cuhk03,
        )
        # Both are means over the queries that count.
        curve += np.asarray(part_curve, np.float64) * counted
        precision += float(part_mean) * counted
    valid = int(has_match.sum())
    return (curve / valid).astype(np.float32), precision / valid, valid


def entries_left(
    query: Labels, gallery: Labels
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Return for each query whether it has a match, and how many gallery entries are left for it.

    Entries of the query's person under the query's camera are left out.

    Args:
        query, gallery: persons and cameras of the two sets.

    Returns:
        tuple: (Q,) of bool and (Q,) of int.

    Examples:
        >>> entries_left(Labels.of([1], [0]), Labels.of([1, 1, 2], [0, 1, 0]))
        (array([ True]), array([2]))
    """
    offsets, entries = View(query, gallery).same_person(slice(0, len(query)))
    owner = np.repeat(np.arange(len(query)), np.diff(offsets))
    other_camera = gallery.camids[entries] != query.camids[owner]
    matches = np.bincount(owner, weights=other_camera, minlength=len(query)).astype(np.int64)
    return matches > 0, len(gallery) - np.diff(offsets) + matches
