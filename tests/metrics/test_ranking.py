"""Rankings against a loop oracle and against torchreid's own evaluator."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from nr3d.errors import DataError
from nr3d.host import torchreid
from nr3d.metrics import Labels, rank


def judge_by_loops(
    distances: npt.NDArray[Any], query: Labels, gallery: Labels
) -> tuple[list[float], float, int]:
    """The protocol as prose says it: one query after the other."""
    curves, precisions = [], []
    for q, row in enumerate(distances):
        hits = [
            gallery.pids[g] == query.pids[q]
            for g in np.argsort(row, kind="stable")
            if not (gallery.pids[g] == query.pids[q] and gallery.camids[g] == query.camids[q])
        ]
        if not any(hits):
            continue
        first = hits.index(True)
        curves.append([0.0] * first + [1.0] * (50 - first) if first < 50 else [0.0] * 50)
        found, total = 0, 0.0
        for position, hit in enumerate(hits, start=1):
            if hit:
                found += 1
                total += found / position
        precisions.append(total / found)
    curve = np.mean(curves, axis=0).tolist()
    return curve, float(np.mean(precisions)), len(curves)


def random_case(seed: int, queries: int, entries: int) -> tuple[Any, Any, Labels, Labels]:
    rng = np.random.default_rng(seed)
    people = max(2, entries // 6)
    qf = torch.from_numpy(rng.standard_normal((queries, 8))).float()
    gf = torch.from_numpy(rng.standard_normal((entries, 8))).float()
    query = Labels.of(rng.integers(0, people + 2, queries), rng.integers(0, 3, queries))
    gallery = Labels.of(rng.integers(0, people, entries), rng.integers(0, 3, entries))
    return qf, gf, query, gallery


@pytest.mark.parametrize(("queries", "entries"), [(5, 12), (30, 40), (150, 90), (70, 300)])
@pytest.mark.parametrize("seed", [0, 1])
def test_matches_the_loop_oracle(seed: int, queries: int, entries: int) -> None:
    qf, gf, query, gallery = random_case(seed, queries, entries)
    ranking = rank(qf, gf, query, gallery)
    cmc, mean_precision, valid = judge_by_loops(ranking.distances, query, gallery)
    assert ranking.cmc.tolist() == pytest.approx(cmc, abs=1e-6)
    assert ranking.mAP == pytest.approx(mean_precision, abs=1e-6)
    assert ranking.valid_queries == valid
    assert ranking.cmc.shape == (50,)
    assert ranking.distances.shape == (queries, entries)


def test_equals_torchreids_evaluator_in_one_call() -> None:
    qf, gf, query, gallery = random_case(3, 200, 400)
    ranking = rank(qf, gf, query, gallery)
    cmc, mean_precision = torchreid.metrics.evaluate_rank(
        ranking.distances, query.pids, gallery.pids, query.camids, gallery.camids
    )
    assert ranking.cmc.tolist() == pytest.approx(cmc.tolist(), abs=1e-6)
    assert ranking.mAP == pytest.approx(mean_precision, abs=1e-9)


def test_by_hand() -> None:
    # Query of person 1 under camera 0. In order: its own camera's view (left out), a stranger,
    # a match, a stranger, a match: average precision (1/2 + 2/4) / 2.
    gallery = Labels.of([1, 2, 1, 3, 1], [0, 1, 1, 0, 2])
    ranking = rank(
        torch.zeros(1, 1),
        torch.tensor([[0.1], [1.0], [2.0], [3.0], [4.0]]),
        Labels.of([1], [0]),
        gallery,
    )
    assert ranking.distances[0].tolist() == pytest.approx([0.01, 1, 4, 9, 16])  # squared
    assert ranking.cmc[:5].tolist() == [0, 1, 1, 1, 1]
    assert ranking.mAP == pytest.approx(0.5)


def test_cosine_normalised_and_reranked_are_torchreids() -> None:
    qf, gf, query, gallery = random_case(4, 20, 60)
    cosine = rank(qf, gf, query, gallery, dist_metric="cosine").distances
    expected = torchreid.metrics.compute_distance_matrix(qf, gf, "cosine").numpy()
    np.testing.assert_allclose(cosine, expected)
    unit = rank(qf, gf, query, gallery, normalize_feature=True).distances
    np.testing.assert_allclose(unit, 2 * cosine, atol=1e-5)
    reranked = rank(qf, gf, query, gallery, rerank=True).distances

    def distance(a: torch.Tensor, b: torch.Tensor) -> Any:
        return torchreid.metrics.compute_distance_matrix(a, b, "euclidean").numpy()

    theirs = torchreid.utils.re_ranking(distance(qf, gf), distance(qf, qf), distance(gf, gf))
    np.testing.assert_allclose(reranked, theirs, atol=1e-6)


def test_what_cannot_be_ranked_is_a_clear_error() -> None:
    qf, gf, query, gallery = random_case(5, 4, 12)
    with pytest.raises(DataError, match="gallery set is empty"):
        rank(qf, gf[:0], query, Labels.of([], []))
    with pytest.raises(DataError, match="query set is empty"):
        rank(qf[:0], gf, Labels.of([], []), gallery)
    with pytest.raises(DataError, match="None of the 4 queries has its person"):
        rank(qf, gf, Labels.of([99] * 4, [0] * 4), gallery)
    broken = gf.clone()
    broken[3, 1] = float("nan")
    with pytest.raises(DataError, match="gallery tracklet 3 is not finite"):
        rank(qf, broken, query, gallery)
    with pytest.raises(ValueError, match="nonsense"):
        rank(qf, gf, query, gallery, dist_metric="nonsense")
