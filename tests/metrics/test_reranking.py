"""Re-ranking against torchreid's."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch

from nr3d.errors import DataError
from nr3d.host import torchreid
from nr3d.metrics import re_ranking
from nr3d.metrics.reranking import reranked_features

SIZES = [(1, 1), (3, 4), (10, 11), (10, 30), (60, 250)]


def matrices(queries: int, entries: int, metric: str = "euclidean") -> tuple[Any, Any, list[Any]]:
    generator = torch.Generator().manual_seed(queries)
    # Groups of about five, so that neighbours are mutual and sets are widened.
    centers = torch.randn(1 + entries // 5, 8, generator=generator)
    one, other = (
        centers[torch.randint(len(centers), (n,), generator=generator)]
        + 0.4 * torch.randn(n, 8, generator=generator)
        for n in (queries, entries)
    )
    pairs = ((one, other), (one, one), (other, other))
    distances = [torchreid.metrics.compute_distance_matrix(*pair, metric) for pair in pairs]
    return one, other, [each.numpy() for each in distances]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize(("queries", "entries"), SIZES)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"k1": 7, "k2": 1},
        {"k1": 5, "k2": 9, "lambda_value": 0.0},
        {"k1": 13, "k2": 3, "lambda_value": 0.8},
        {"k1": 1},
    ],
    ids=str,
)
def test_equals_torchreids(
    settings: dict[str, Any], queries: int, entries: int, metric: str
) -> None:
    one, other, given = matrices(queries, entries, metric)
    theirs = torchreid.utils.re_ranking(*given, **settings)
    ours = re_ranking(*given, **settings)
    assert (ours.shape, ours.dtype) == ((queries, entries), np.float32)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    blocks = list(reranked_features(one, other, metric, height=7, **settings))
    assert max(len(block) for block in blocks) <= 7
    np.testing.assert_allclose(np.concatenate(blocks), theirs, atol=1e-5)


def test_matrices_need_not_be_symmetric() -> None:
    rng = np.random.default_rng(0)
    given = [rng.random(shape, np.float32) for shape in ((9, 40), (9, 9), (40, 40))]
    theirs = torchreid.utils.re_ranking(*given)
    np.testing.assert_allclose(re_ranking(*given), theirs, atol=1e-5)


@pytest.mark.parametrize("levels", [3, 40])
def test_ties_are_ranked_in_the_entries_order(levels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(levels)
    every = rng.integers(1, levels, (80, 80)).astype(np.float32)
    every = np.maximum(every, every.T) - levels * np.eye(80, dtype=np.float32)
    given = (every[:20, 20:], every[:20, :20], every[20:, 20:])
    monkeypatch.setattr(np, "argsort", functools.partial(np.argsort, kind="stable"))
    theirs = torchreid.utils.re_ranking(*given)
    np.testing.assert_allclose(re_ranking(*given), theirs, atol=1e-5)


def test_given_matrices_are_left_as_they_are() -> None:
    _, _, given = matrices(10, 30)
    before = [each.copy() for each in given]
    from_arrays = re_ranking(*given)
    from_tensors = re_ranking(*(torch.from_numpy(each) for each in given))
    np.testing.assert_array_equal(from_arrays, from_tensors)
    for each, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(each, copy)


def test_equal_features_stay_together() -> None:
    found = re_ranking(*(np.zeros(shape) for shape in ((2, 3), (2, 2), (3, 3))))
    np.testing.assert_allclose(found, 0, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "error"),
    [({"k1": 0}, ValueError), ({"k2": 0}, ValueError), ({"lambda_value": 1.1}, ValueError)],
)
def test_settings_out_of_their_range_are_refused(settings: dict[str, Any], error: Any) -> None:
    _, _, given = matrices(3, 4)
    with pytest.raises(error, match="expected 1 or more, 1 or more and a share from 0 to 1"):
        re_ranking(*given, **settings)


def test_distances_that_do_not_fit_or_are_none_are_refused() -> None:
    _, _, (of_both, of_queries, of_gallery) = matrices(3, 4)
    with pytest.raises(ValueError, match=r"shapes \(\(3, 4\), \(4, 4\), \(3, 3\)\), expected"):
        re_ranking(of_both, of_gallery, of_queries)
    for value in (np.nan, np.inf):
        damaged = of_gallery.copy()
        damaged[1, 2] = value
        with pytest.raises(DataError, match="A distance to re-rank is not finite"):
            re_ranking(of_both, of_queries, damaged)
