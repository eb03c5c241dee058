"""Small test sets at their edges: ties, single persons and cameras, any numbers, any memory.

Every figure is computed again query by query with plain loops. A test set must be refused if, and
only if, no query has a match.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fuzzing import RIGHT, UNCHECKED, WrongError, refusal
from nr3d.errors import DataError
from nr3d.metrics import PROTOCOLS, Labels, Ranking, evaluate_rank, rank

_NUMBERS = (0, 1, 2, 3, -1, -2, 127, 128, 255, 256, -(2**40), 2**31, 2**62)
_RANKS = (1, 2, 5, 50)
_WAYS = {
    "torchreid": (False, False),
    "mars-official": (True, True),
    "ap3d": (True, False),
}
"""Protocols by name: whether queries are in the gallery, and whether AP uses trapezoids."""


def make(folder: Path) -> Callable[[np.random.Generator], str]:
    """Return the function that tests one case; there is nothing to prepare."""
    if set(_WAYS) != set(PROTOCOLS):
        raise WrongError(f"protocols {PROTOCOLS}, expected {tuple(_WAYS)}")
    return attempt


def attempt(rng: np.random.Generator) -> str:
    """Rank a random case and compute its figures again."""
    queries, entries = int(rng.integers(0, 9)) or 1, int(rng.integers(0, 14))
    people = rng.choice(_NUMBERS, int(rng.integers(1, 5)))
    cameras = rng.choice(_NUMBERS, int(rng.integers(1, 4)))
    query, gallery = (
        Labels.of(rng.choice(people, n), rng.choice(cameras, n)) for n in (queries, entries)
    )
    gallery.pids[rng.random(entries) < 0.2] = 7  # a person without queries
    if not rng.integers(3):
        return _of_matrix(rng, query, gallery)
    metric = str(rng.choice(["euclidean", "cosine"]))
    whole = metric == "euclidean" and bool(rng.integers(4))
    # Products of small whole numbers are exact, so that ties stay ties.
    features = [
        rng.integers(-2, 3, (n, 2)).astype(np.float64) if whole else rng.standard_normal((n, 6))
        for n in (queries, entries)
    ]
    if not whole:
        features = [each.astype(np.float32).astype(np.float64) for each in features]
    options: dict[str, Any] = {
        "distractors": str(rng.choice(["keep", "drop"])),
        "dist_metric": metric,
        "memory": int(2 ** rng.uniform(0, 20)),
        "protocols": [str(p) for p in rng.permutation(PROTOCOLS)[: rng.integers(1, 4)]],
        "details": bool(rng.integers(2)),
        "lengths": rng.integers(1, 300, queries),
        "ranks": _RANKS,
    }
    if not rng.integers(4):
        options |= {"evaluator": "torchreid", "protocols": ["torchreid"]}
    left = np.isin(gallery.pids, query.pids) | (options["distractors"] == "keep")
    matrix = _distances(features[0], np.concatenate([features[1][left], features[0]]), metric)
    labels = gallery[left] + query
    given = [torch.from_numpy(each).float() for each in features]
    expected = {}
    for name in options["protocols"]:
        width = len(labels) if _WAYS[name][0] else int(left.sum())
        expected[name] = _judge(matrix[:, :width], query, labels[slice(width)], _WAYS[name][1])
    try:
        found = rank(given[0], given[1], query, gallery, **options)
    except DataError as error:
        if entries and all(one["queries"] for one in expected.values()):
            raise WrongError(f"refused {query}, {gallery}: {error}") from error
        return refusal(error)
    if not entries or not all(one["queries"] for one in expected.values()):
        raise WrongError(f"ranked {query}, {gallery}: {found}")
    if list(found) != options["protocols"]:
        raise WrongError(f"asked for {options['protocols']}, found {list(found)}")
    if _near_ties(matrix) and not (whole and "evaluator" not in options):
        return UNCHECKED
    for name, ranking in found.items():
        _compare(ranking, expected[name], f"{name} of {query}, {gallery}, {options}")
        if ranking.gallery != (len(labels) if _WAYS[name][0] else int(left.sum())):
            raise WrongError(f"a gallery of {ranking.gallery}")
        if options["details"] and "evaluator" not in options:
            _compare_details(ranking, matrix, query, labels, options["lengths"])
    return RIGHT


def _of_matrix(rng: np.random.Generator, query: Labels, gallery: Labels) -> str:
    """Evaluate a distance matrix through the replacement of torchreid's function."""
    matrix = rng.integers(0, 4, (len(query), len(gallery))).astype(np.float32)
    matrix[rng.random(matrix.shape) < 0.1] = np.inf
    expected = _judge(matrix.astype(np.float64), query, gallery, trapezoids=False)
    other = torch.from_numpy(matrix) if rng.integers(2) else matrix
    labels = (query.pids, gallery.pids, query.camids, gallery.camids)
    try:
        curve, precision = evaluate_rank(other, *labels)
    except DataError as error:
        if expected["queries"]:
            raise WrongError(f"refused {query}, {gallery}: {error}") from error
        return refusal(error)
    if not expected["queries"]:
        raise WrongError(f"evaluated {query}, {gallery}")
    if not math.isclose(precision, expected["mAP"], abs_tol=1e-9):
        raise WrongError(f"mAP {precision}, expected {expected['mAP']}: {matrix} {labels}")
    for r in _RANKS:
        if r <= len(curve) and abs(curve[r - 1] - expected[f"rank-{r}"]) > 1e-6:
            raise WrongError(f"rank-{r} {curve[r - 1]}, expected {expected}: {matrix} {labels}")
    return RIGHT


def _distances(one: Any, other: Any, metric: str) -> Any:
    if metric == "cosine":
        one, other = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (one, other))
        return 1 - one @ other.T
    return ((one[:, None] - other[None]) ** 2).sum(2)


def _near_ties(matrix: Any) -> bool:
    gaps = np.diff(np.sort(matrix, axis=1), axis=1)
    return bool((gaps < 1e-4).any())


def _judge(matrix: Any, query: Labels, gallery: Labels, trapezoids: bool) -> dict[str, Any]:
    """Compute every figure; the place of a match is one more than the entries before it."""
    rows: list[dict[str, float]] = []
    for q, row in enumerate(matrix):
        kept = [
            g
            for g in range(len(gallery))
            if gallery.pids[g] != query.pids[q] or gallery.camids[g] != query.camids[q]
        ]
        matches = [g for g in kept if gallery.pids[g] == query.pids[q]]
        if not matches:
            continue
        places = sorted(
            1 + sum(row[other] < row[g] or (row[other] == row[g] and other < g) for other in kept)
            for g in matches
        )
        total = 0.0
        for number, place in enumerate(places, start=1):
            precision = number / place
            before = (number - 1) / (place - 1) if place > 1 else 1.0
            total += (precision + before) / 2 if trapezoids else precision
        figures = {f"rank-{r}": float(places[0] <= r) for r in _RANKS}
        rows.append(
            {"q": q, **figures, "mAP": total / len(places), "mINP": len(places) / places[-1]}
        )
    names = [name for name in (rows[0] if rows else {}) if name != "q"]
    mean = {name: math.fsum(row[name] for row in rows) / len(rows) for name in names}
    return {"queries": len(rows), **mean}


def _compare(ranking: Ranking, expected: dict[str, Any], what: str) -> None:
    pairs = [(ranking.mAP, expected["mAP"], 1e-9)]
    if ranking.mINP is None:
        pairs = [(ranking.mAP, expected["mAP"], 1e-6)]  # torchreid's
    else:
        pairs.append((ranking.mINP, expected["mINP"], 1e-9))
    pairs += [(float(ranking.cmc[r - 1]), expected[f"rank-{r}"], 1e-6) for r in _RANKS]
    if any(abs(one - other) > most for one, other, most in pairs):
        raise WrongError(f"{ranking}, expected {expected}: {what}")
    if ranking.valid_queries != expected["queries"]:
        raise WrongError(f"{ranking.valid_queries} queries, expected {expected}: {what}")


def _compare_details(
    ranking: Ranking, matrix: Any, query: Labels, labels: Labels, lengths: Any
) -> None:
    """Compute the figures of each bin of lengths and each pair of cameras again."""
    width, trapezoids = ranking.gallery, _WAYS[ranking.protocol][1]
    matrix, labels = matrix[:, :width], labels[slice(width)]
    json.dumps([ranking.intervals, ranking.by_length, ranking.camera_pairs], allow_nan=False)
    assert ranking.by_length is not None and ranking.camera_pairs is not None
    ends = (8, 16, 32, 64, 128, 256)
    parts: list[tuple[dict[str, Any], Any, Any]] = []
    for number, low in enumerate((0, *ends)):
        high = ends[number] if number < len(ends) else 1 << 30
        names = f"<{high}", f">={low}", f"{low}-{high - 1}"
        row = [each for each in ranking.by_length if each["frames"] in names]
        parts.append((row[0] if row else {}, (low <= lengths) & (lengths < high), slice(None)))
    pairs = {(r["query_camera"], r["gallery_camera"]): r for r in ranking.camera_pairs}
    for one in np.unique(query.camids):
        for other in np.unique(labels.camids):
            row = pairs.pop((int(one), int(other)), {})
            parts.append((row, query.camids == one, labels.camids == other))
    if pairs:
        raise WrongError(f"unexpected pairs of cameras: {list(pairs)}")
    for row, rows, columns in parts:
        own = _judge(matrix[rows][:, columns], query[rows], labels[columns], trapezoids)
        if row.get("queries", 0) != own["queries"]:
            raise WrongError(f"{row}, expected {own}")
        for name in ("mAP", "rank-1", "rank-5"):
            if own["queries"] and abs(row[name] - own[name]) > 1e-9:
                raise WrongError(f"{row}, expected {own}")
    assert ranking.intervals is not None
    for low, high in ranking.intervals.values():
        if not 0 <= low <= high <= 1 + 1e-12:
            raise WrongError(f"an interval from {low} to {high}")
