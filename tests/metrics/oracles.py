"""The protocols as prose says them, one query after the other, and cases to try them on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nr3d.metrics import Labels

INFO = Path(__file__).resolve().parents[3] / "shared" / "data" / "mars_info"

WAYS = {
    "torchreid": (False, "steps"),
    "mars-official": (True, "trapezoids"),
    "ap3d": (True, "steps"),
}
"""Protocol to whether the queries are searched among too, and how precision is averaged."""


def judge_by_loops(
    distances: npt.NDArray[Any], query: Labels, gallery: Labels, max_rank: int = 50
) -> dict[str, Any]:
    """Every figure of a whole matrix, by loops."""
    curves, steps, trapezoids, penalties = [], [], [], []
    for q, row in enumerate(distances):
        hits = [
            gallery.pids[g] == query.pids[q]
            for g in np.argsort(row, kind="stable")
            if not (gallery.pids[g] == query.pids[q] and gallery.camids[g] == query.camids[q])
        ]
        if not any(hits):
            continue
        first = hits.index(True)
        curves.append([float(rank > first) for rank in range(1, max_rank + 1)])
        found, by_steps, area = 0, 0.0, 0.0
        recall, precision = 0.0, 1.0
        for position, hit in enumerate(hits, start=1):
            found += hit
            if hit:
                by_steps += found / position
                last = position
            # The area below the curve of precision over recall, as it is drawn.
            new_recall, new_precision = found / sum(hits), found / position
            area += (new_recall - recall) * (precision + new_precision) / 2
            recall, precision = new_recall, new_precision
        steps.append(by_steps / found)
        trapezoids.append(area)
        penalties.append(found / last)
    return {
        "cmc": np.mean(curves, axis=0),
        "steps": float(np.mean(steps)),
        "trapezoids": float(np.mean(trapezoids)),
        "mINP": float(np.mean(penalties)),
        "valid": len(curves),
    }


def random_labels(seed: int, queries: int, entries: int) -> tuple[Labels, Labels]:
    """Persons of about six tracklets each under three cameras; some queries have no match."""
    rng = np.random.default_rng(seed)
    people = max(2, entries // 6)
    return (
        Labels.of(rng.integers(0, people + 2, queries), rng.integers(0, 3, queries)),
        Labels.of(rng.integers(0, people, entries), rng.integers(0, 3, entries)),
    )


def mars_labels() -> tuple[Labels, Labels]:
    """Persons and cameras of MARS's test set, its junk left out."""
    if not INFO.is_dir():
        pytest.skip(f"no track tables at {INFO}")
    from scipy.io import loadmat

    table = loadmat(INFO / "tracks_test_info.mat")["track_test_info"].astype(np.int64)
    of_query = loadmat(INFO / "query_IDX.mat")["query_IDX"].ravel().astype(np.int64) - 1
    in_gallery = table[:, 2] != -1
    in_gallery[of_query] = False
    query, gallery = table[of_query], table[in_gallery]
    return Labels(query[:, 2], query[:, 3]), Labels(gallery[:, 2], gallery[:, 3])
