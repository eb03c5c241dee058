"""torchreid's evaluation, against loops and against torchreid itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from nr3d.errors import DataError
from nr3d.host import torchreid
from nr3d.metrics import Labels, evaluate_rank
from nr3d.metrics.places import places
from tests.metrics.oracles import judge_by_loops, mars_labels, random_labels


def evaluate(distances: Any, query: Labels, gallery: Labels, **options: Any) -> Any:
    labels = (query.pids, gallery.pids, query.camids, gallery.camids)
    return evaluate_rank(distances, *labels, **options)


def tied(rng: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[Any]:
    return rng.integers(0, 4, shape).astype(np.float32)


def untied(rng: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[Any]:
    return rng.permuted(np.tile(np.arange(shape[1], dtype=np.float32), (shape[0], 1)), axis=1)


def partly_infinite(rng: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[Any]:
    values = rng.standard_normal(shape)
    values[rng.random(shape) < 0.3] = np.inf
    values[rng.random(shape) < 0.1] = -np.inf
    return values


@pytest.mark.parametrize("kind", [tied, untied, partly_infinite])
@pytest.mark.parametrize(
    ("queries", "entries"), [(1, 1), (3, 2), (5, 12), (30, 40), (60, 90), (20, 300)]
)
@pytest.mark.parametrize("seed", range(4))
def test_matches_the_loop_oracle(kind: Any, queries: int, entries: int, seed: int) -> None:
    query, gallery = random_labels(seed, queries, entries)
    # Whatever is drawn, one query has a match.
    query.pids[0], query.camids[0] = gallery.pids[0], gallery.camids[0] + 1
    distances = kind(np.random.default_rng(seed), (queries, entries))
    expected = judge_by_loops(distances, query, gallery, min(50, entries))
    cmc, mean_precision = evaluate(distances, query, gallery)
    assert cmc.dtype == np.float32
    np.testing.assert_allclose(cmc, expected["cmc"], atol=1e-6)
    assert mean_precision == pytest.approx(expected["steps"], abs=1e-12)
    as_tensor = evaluate(torch.from_numpy(distances), query, gallery)
    assert as_tensor[1] == mean_precision
    np.testing.assert_array_equal(as_tensor[0], cmc)
    in_columns = evaluate(np.asfortranarray(distances), query, gallery)
    assert in_columns[1] == mean_precision


@pytest.mark.parametrize("cameras", [1, 2])
def test_a_gallery_of_one_person(cameras: int) -> None:
    rng = np.random.default_rng(0)
    query = Labels.of([5] * 9, rng.integers(0, cameras, 9))
    gallery = Labels.of([5] * 400, rng.integers(0, cameras, 400))
    distances = tied(rng, (9, 400))
    if cameras == 1:
        with pytest.raises(DataError, match="None of the 9 queries has its person"):
            evaluate(distances, query, gallery)
    else:
        cmc, mean_precision = evaluate(distances, query, gallery)
        assert cmc.min() == mean_precision == 1


@pytest.mark.parametrize("seed", range(3))
def test_equals_torchreids_evaluator(seed: int) -> None:
    query, gallery = random_labels(seed, 200, 400)
    distances = untied(np.random.default_rng(seed), (200, 400))
    for max_rank in (50, 7):
        theirs = torchreid.metrics.evaluate_rank(
            distances, query.pids, gallery.pids, query.camids, gallery.camids, max_rank
        )
        ours = evaluate(distances, query, gallery, max_rank=max_rank)
        np.testing.assert_allclose(ours[0], theirs[0], atol=1e-6)
        assert ours[1] == pytest.approx(theirs[1], abs=1e-6)


def test_equals_torchreids_evaluator_on_mars() -> None:
    query, gallery = mars_labels()
    assert (len(query), len(gallery)) == (1980, 9330)
    some = query[::20]  # torchreid takes a minute for all
    rng = np.random.default_rng(0)
    distances = rng.random((len(some), len(gallery)), np.float32)
    distances -= 0.5 * (some.pids[:, None] == gallery.pids)
    assert all(len(np.unique(row[:200])) == 200 for row in distances)
    theirs = torchreid.metrics.evaluate_rank(
        distances, some.pids, gallery.pids, some.camids, gallery.camids
    )
    ours = evaluate(distances, some, gallery)
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-6)
    assert ours[1] == pytest.approx(theirs[1], abs=1e-6)


@pytest.mark.parametrize("asked", [3, 300])
def test_places_are_those_of_a_stable_sort(asked: int) -> None:
    rng = np.random.default_rng(asked)
    block = tied(rng, (7, 500))
    columns = np.stack([rng.permutation(500)[:asked] for _ in block])
    expected = np.argsort(np.argsort(block, axis=1, kind="stable"), axis=1)
    expected = np.take_along_axis(expected, columns, axis=1).ravel()
    offsets = np.arange(8) * asked
    np.testing.assert_array_equal(places(block, offsets, columns.ravel()), expected)
    # What a device does, on the processor.
    of_tensor = places(torch.from_numpy(block), offsets, columns.ravel())
    np.testing.assert_array_equal(of_tensor, expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_device_gives_the_same_figures() -> None:
    query, gallery = random_labels(1, 50, 300)
    distances = tied(np.random.default_rng(1), (50, 300))
    on_device = evaluate(torch.from_numpy(distances).cuda(), query, gallery)
    on_cpu = evaluate(distances, query, gallery)
    assert on_device[1] == on_cpu[1]
    np.testing.assert_array_equal(on_device[0], on_cpu[0])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int64])
def test_any_numbers_can_be_distances(dtype: torch.dtype) -> None:
    query, gallery = random_labels(1, 20, 60)
    whole = torch.from_numpy(tied(np.random.default_rng(1), (20, 60)))
    found = evaluate(whole.to(dtype).requires_grad_(dtype.is_floating_point), query, gallery)
    assert found[1] == evaluate(whole, query, gallery)[1]


def test_a_short_gallery_cuts_the_curve_and_few_entries_do_not() -> None:
    # Three entries of which two are left for the first query: torchreid fails here.
    query, gallery = Labels.of([1, 2], [0, 0]), Labels.of([1, 1, 2], [0, 1, 1])
    cmc, _ = evaluate(np.array([[0.1, 0.3, 0.2], [0.1, 0.2, 0.3]]), query, gallery)
    assert cmc.tolist() == [0, 0.5, 1]


def test_cuhk03_is_torchreids() -> None:
    query, gallery = random_labels(2, 30, 600)
    distances = untied(np.random.default_rng(2), (30, 600))
    np.random.seed(0)
    ours = evaluate(torch.from_numpy(distances), query, gallery, use_metric_cuhk03=True)
    np.random.seed(0)
    theirs = torchreid.metrics.evaluate_rank(
        distances,
        *(query.pids, gallery.pids, query.camids, gallery.camids),
        use_metric_cuhk03=True,
    )
    np.testing.assert_array_equal(ours[0], theirs[0])
    assert ours[1] == theirs[1]


def test_what_cannot_be_evaluated_is_a_clear_error() -> None:
    query, gallery = Labels.of([1, 2], [0, 0]), Labels.of([1, 2, 2], [1, 1, 1])
    distances = np.ones((2, 3), np.float32)
    distances[1, 2] = np.nan
    for broken in (distances, torch.from_numpy(distances)):
        with pytest.raises(DataError, match="distance of query 1 is not a number"):
            evaluate(broken, query, gallery)
    with pytest.raises(
        ValueError, match=r"shape \(3, 2\), expected \(2, 3\) for the labels of 2 queries and 3"
    ):
        evaluate(distances.T, query, gallery)
    with pytest.raises(DataError, match="None of the 2 queries has its person"):
        evaluate(np.empty((2, 0)), query, gallery[:0])
