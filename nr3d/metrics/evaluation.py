"""torchreid's evaluation of a distance matrix, without a loop over the queries."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from nr3d.host import torchreid
from nr3d.metrics.distances import parts
from nr3d.metrics.figures import curve
from nr3d.metrics.labels import Labels
from nr3d.metrics.matches import View, find_matches, numbered, require_a_match
from nr3d.metrics.places import Block

MAX_RANK = 50
"""Number of ranks of the cumulative matching curve, as in torchreid."""

MEMORY = 1 << 30
"""Default memory for the distances being processed, in bytes."""

_SORTED_BYTES = 40
# A stable sort on a device holds, for each entry, the sorted values (4), the places and their
# inverse (8 each) and as much again as scratch space.


def block_height(memory: int, columns: int, views: Collection[View], *, on_cpu: bool = True) -> int:
    """Return how many rows of distances can be computed and searched at once.

    Args:
        memory: memory to use, in bytes.
        columns: number of columns of the distances.
        views: views that search the rows, one after the other.
        on_cpu: whether the distances are on the CPU.

    Examples:
        >>> labels = Labels.of([0, 1], [0, 0])
        >>> block_height(1360, 2, [View(labels, labels)])  # 2 x 4 bytes, and 128 for the match
        10
    """
    row = columns * (4 if on_cpu else 4 + _SORTED_BYTES)
    row += max(view.row_bytes for view in views)
    return max(1, memory // max(1, row))


def evaluate_rank(
    distmat: Block,
    q_pids: Sequence[int] | npt.NDArray[Any],
    g_pids: Sequence[int] | npt.NDArray[Any],
    q_camids: Sequence[int] | npt.NDArray[Any],
    g_camids: Sequence[int] | npt.NDArray[Any],
    max_rank: int = MAX_RANK,
    use_metric_cuhk03: bool = False,
    use_cython: bool = True,
) -> tuple[npt.NDArray[np.float32], float]:
    """Evaluate a distance matrix as ``torchreid.metrics.evaluate_rank`` does.

    Gallery entries of the query's person under the query's camera are left out; a query without a
    match does not count.

    Reference:
        Zheng et al. Scalable Person Re-identification: A Benchmark. ICCV 2015. Deviations from
        torchreid: where fewer than ``max_rank`` entries are left for a query, its curve stays at 1
        from there on (torchreid fails); equal distances are ranked in the gallery's order
        (torchreid's order is arbitrary there).

    Args:
        distmat: distances (Q, G), an array or a tensor on any device.
        q_pids: persons of the queries, (Q,).
        g_pids: persons of the gallery, (G,).
        q_camids: cameras of the queries, (Q,).
        g_camids: cameras of the gallery, (G,).
        max_rank: number of ranks of the curve, at most G.
        use_metric_cuhk03: whether to keep one gallery entry per person, drawn at random, as CUHK03
            is tested. torchreid's own routine does this, since its draws are part of the result.
        use_cython: argument of torchreid's signature, without effect.

    Returns:
        tuple: the cumulative matching curve, (max_rank,), and the mean average precision.

    Raises:
        DataError: if a distance is NaN or no query has a match.
        ValueError: if the shapes do not fit each other.

    Examples:
        >>> cmc, mAP = evaluate_rank(np.array([[0.3, 0.1, 0.2]]), [1], [1, 2, 1], [0], [1, 1, 2])
        >>> cmc, round(mAP, 3)
        (array([0., 1., 1.], dtype=float32), 0.583)
    """
    query, gallery = Labels.of(q_pids, q_camids), Labels.of(g_pids, g_camids)
    if tuple(distmat.shape) != (len(query), len(gallery)):
        raise ValueError(
            f"The distances have shape {tuple(distmat.shape)}, expected ({len(query)}, "
            f"{len(gallery)}) for the labels of {len(query)} queries and {len(gallery)} gallery "
            "entries."
        )
    if use_metric_cuhk03:
        matrix = distmat.detach().cpu().float().numpy() if isinstance(distmat, Tensor) else distmat
        for _ in numbered([matrix]):
            pass  # NaN, which torchreid would rank last, is refused
        theirs: tuple[npt.NDArray[np.float32], float] = torchreid.metrics.evaluate_rank(
            matrix,
            *(query.pids, gallery.pids, query.camids, gallery.camids),
            max_rank=max_rank,
            use_metric_cuhk03=True,
            use_cython=use_cython,
        )
        return theirs
    view = View(query, gallery)
    on_cpu = not isinstance(distmat, Tensor) or distmat.device.type == "cpu"
    height = block_height(MEMORY, len(gallery), [view], on_cpu=on_cpu)
    blocks: Iterator[Block] = (distmat[part] for part in parts(len(query), height))
    matches = find_matches(blocks, {None: view})[None]
    require_a_match(matches.valid)
    mean_precision = float(matches.steps[matches.valid].mean())
    return curve(matches, min(max_rank, len(gallery))), mean_precision
