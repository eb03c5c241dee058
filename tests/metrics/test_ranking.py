"""Rankings from features: protocols, distractors, blocks, details."""

from __future__ import annotations

import functools
import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nr3d.errors import DataError
from nr3d.host import torchreid
from nr3d.metrics import PROTOCOLS, Labels, Ranking, evaluate_rank, rank
from nr3d.metrics.distances import Distances
from nr3d.metrics.evaluation import block_height
from nr3d.metrics.matches import View
from tests.metrics.oracles import WAYS, judge_by_loops, mars_labels, random_labels


def distance(one: Tensor, other: Tensor, metric: str = "euclidean") -> Any:
    return torchreid.metrics.compute_distance_matrix(one, other, metric).numpy()


def random_case(seed: int, queries: int, entries: int) -> tuple[Tensor, Tensor, Labels, Labels]:
    rng = np.random.default_rng(seed)
    qf, gf = (torch.from_numpy(rng.standard_normal((n, 8))).float() for n in (queries, entries))
    return qf, gf, *random_labels(seed, queries, entries)


def assert_equal(one: Ranking, other: Ranking) -> None:
    np.testing.assert_array_equal(one.cmc, other.cmc)
    assert (one.mAP, one.mINP, one.valid_queries) == (other.mAP, other.mINP, other.valid_queries)
    assert one.by_length == other.by_length
    assert one.camera_pairs == other.camera_pairs


@pytest.mark.parametrize(("queries", "entries"), [(5, 12), (30, 40), (150, 90), (70, 300)])
@pytest.mark.parametrize("seed", [0, 1])
def test_each_protocol_matches_the_loop_oracle(seed: int, queries: int, entries: int) -> None:
    qf, gf, query, gallery = random_case(seed, queries, entries)
    found = rank(qf, gf, query, gallery, protocols=PROTOCOLS)
    assert tuple(found) == PROTOCOLS == tuple(WAYS)
    whole = torch.cat([gf, qf])
    for name, ranking in found.items():
        among_queries, precision = WAYS[name]
        expected = (
            judge_by_loops(distance(qf, whole), query, gallery + query)
            if among_queries
            else judge_by_loops(distance(qf, gf), query, gallery)
        )
        assert ranking.gallery == entries + among_queries * queries
        np.testing.assert_allclose(ranking.cmc, expected["cmc"], atol=1e-6)
        assert ranking.mAP == pytest.approx(expected[precision], abs=1e-12)
        assert ranking.mINP == pytest.approx(expected["mINP"], abs=1e-12)
        assert ranking.valid_queries == expected["valid"]
        assert ranking.cmc.shape == (50,)
        assert ranking.distances is not None
        np.testing.assert_allclose(ranking.distances, distance(qf, gf), atol=1e-5)
        assert ranking.query_distances is None


@pytest.mark.parametrize("rerank", [False, True])
@pytest.mark.parametrize("distractors", ["keep", "drop"])
def test_the_distances_of_queries_are_kept_where_they_are_ranked(
    rerank: bool, distractors: str
) -> None:
    qf, gf, query, gallery = random_case(3, 20, 60)
    # Whole numbers: a product of another width cannot round them differently.
    qf, gf = (4 * qf).round(), (4 * gf).round()
    options: dict[str, Any] = {"rerank": rerank, "distractors": distractors}
    official = rank(qf, gf, query, gallery, protocols=("mars-official", "torchreid"), **options)
    found = official["mars-official"]
    given = rank(
        qf, torch.cat([gf, qf]), query, gallery + query, protocols=("torchreid",), **options
    )["torchreid"]
    assert found.distances is not None and given.distances is not None
    np.testing.assert_array_equal(found.distances, given.distances[:, :60])
    np.testing.assert_array_equal(found.query_distances, given.distances[:, 60:])
    assert found.gallery == given.gallery
    others = rank(qf, gf, query, gallery, protocols=("torchreid", "mars-official"), **options)
    assert others["torchreid"].query_distances is None
    np.testing.assert_array_equal(others["torchreid"].cmc, official["torchreid"].cmc)
    assert others["mars-official"].mAP == found.mAP
    # 4 bytes each for 20 x (60 + 20): where the queries find no room, nothing is kept.
    for protocol, kept in (("torchreid", True), ("ap3d", False)):
        short = rank(qf, gf, query, gallery, protocols=(protocol,), memory=6000, **options)
        assert (short[protocol].distances is not None) is kept


def test_mars_has_the_sizes_and_the_order_of_its_protocols() -> None:
    query, gallery = mars_labels()
    rng = np.random.default_rng(0)
    people = 0.6 * rng.standard_normal((3000, 64))
    features = [
        torch.from_numpy(people[labels.pids] + rng.standard_normal((len(labels), 64)))
        for labels in (query, gallery)
    ]
    found = rank(*features, query, gallery, protocols=PROTOCOLS)
    assert [found[name].gallery for name in PROTOCOLS] == [9330, 11310, 11310]
    # More entries to rank, and trapezoids below the steps.
    assert found["torchreid"].mAP > found["ap3d"].mAP > found["mars-official"].mAP > 0.05
    np.testing.assert_array_equal(found["ap3d"].cmc, found["mars-official"].cmc)
    assert found["ap3d"].valid_queries == 1980
    # Its 3,248 tracklets of nobody in particular, and 16 of people that no query shows.
    assert found["torchreid"].distractors == (gallery.pids == 0).sum() + 16 == 3264
    assert found["torchreid"].valid_queries == 1840
    assert found["mars-official"].valid_queries == 1980


def test_by_hand() -> None:
    # Query of person 1 under camera 0. In order: its own camera's view (left out), a stranger,
    # a match, a stranger, a match.
    gallery = Labels.of([1, 2, 1, 3, 1], [0, 1, 1, 0, 2])
    found = rank(
        torch.zeros(1, 1),
        torch.tensor([[0.1], [1.0], [2.0], [3.0], [4.0]]),
        Labels.of([1], [0]),
        gallery,
        protocols=PROTOCOLS,
    )
    ours, official = found["torchreid"], found["mars-official"]
    assert found["ap3d"].mAP == ours.mAP  # its own copy under its own camera is left out
    assert ours.distances is not None
    assert ours.distances[0].tolist() == pytest.approx([0.01, 1, 4, 9, 16])  # squared
    assert ours.cmc[:5].tolist() == [0, 1, 1, 1, 1]
    assert ours.mAP == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert ours.mINP == pytest.approx(2 / 4)
    # Precision before and at the first match: 0 of 1, 1 of 2; the second: 1 of 3, 2 of 4.
    assert official.mAP == pytest.approx(((0 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2)
    assert official.gallery == 6


@pytest.mark.parametrize("rerank", [False, True])
def test_the_height_of_blocks_does_not_matter(rerank: bool) -> None:
    qf, gf, query, gallery = random_case(7, 60, 200)
    # Whole numbers: a block of another height cannot round them differently.
    qf, gf = (4 * qf).round(), (4 * gf).round()
    lengths = np.arange(60) * 5 + 1
    options: dict[str, Any] = {"protocols": PROTOCOLS, "details": True, "rerank": rerank}
    whole = rank(qf, gf, query, gallery, lengths=lengths, **options)
    for memory in (1, 30_000):
        parts = rank(qf, gf, query, gallery, lengths=lengths, memory=memory, **options)
        for name in PROTOCOLS:
            assert_equal(parts[name], whole[name])
            assert parts[name].distances is None  # they take 48,000 bytes
            assert whole[name].distances is not None
    kept_not = rank(qf, gf, query, gallery, keep_distances=False)["torchreid"]
    assert kept_not.distances is None


def test_blocks_keep_to_the_memory_given() -> None:
    query, gallery = Labels.of([1] * 10, [0] * 10), Labels.of([1] * 3 + [2] * 97, [1] * 100)
    view = View(query, gallery)
    row = 4 * 100 + view.row_bytes
    assert view.row_bytes > 3 * 8
    assert block_height(7 * row, 100, [view]) == 7
    assert block_height(7 * row - 1, 100, [view]) == 6
    assert block_height(7 * row, 100, [view], on_cpu=False) < 7  # sorted there
    assert block_height(1, 100, [view]) == 1


@pytest.mark.parametrize("people", [1, 200])
def test_a_ranking_takes_no_more_than_the_memory_given(people: int) -> None:
    rng = np.random.default_rng(0)
    query = Labels.of(rng.integers(0, people, 400), rng.integers(0, 4, 400))
    gallery = Labels.of(rng.integers(0, people, 2000), rng.integers(0, 4, 2000))
    qf, gf = torch.randn(400, 4), torch.randn(2000, 4)
    rank(qf, gf, query, gallery)
    tracemalloc.start()
    # NumPy's arrays are seen: all but the block of distances itself. (Q, G) of int64 is 6.4 MB.
    rank(qf, gf, query, gallery, memory=2_000_000, details=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_cosine_normalised_and_reranked_are_torchreids() -> None:
    qf, gf, query, gallery = random_case(4, 20, 60)

    def distances(**options: Any) -> Any:
        return rank(qf, gf, query, gallery, **options)["torchreid"].distances

    cosine = distances(dist_metric="cosine")
    np.testing.assert_allclose(cosine, distance(qf, gf, "cosine"), atol=1e-6)
    np.testing.assert_allclose(distances(normalize_feature=True), 2 * cosine, atol=1e-5)
    theirs = torchreid.utils.re_ranking(distance(qf, gf), distance(qf, qf), distance(gf, gf))
    np.testing.assert_allclose(distances(rerank=True), theirs, atol=1e-5)


def test_reranking_is_within_each_protocols_gallery(monkeypatch: pytest.MonkeyPatch) -> None:
    qf, gf, query, gallery = random_case(8, 20, 60)
    # A query is as far from another entry as its copy in the gallery is: with whole numbers
    # exactly so, and torchreid's order of equals is defined if its sort is stable.
    qf, gf = (4 * qf).round(), (4 * gf).round()
    monkeypatch.setattr(np, "argsort", functools.partial(np.argsort, kind="stable"))
    found = rank(qf, gf, query, gallery, protocols=PROTOCOLS, rerank=True)
    whole = torch.cat([gf, qf])
    theirs = torchreid.utils.re_ranking(
        distance(qf, whole), distance(qf, qf), distance(whole, whole)
    )
    official = found["mars-official"].distances
    np.testing.assert_array_equal(found["ap3d"].distances, official)
    np.testing.assert_allclose(official, theirs[:, :60], atol=1e-5)
    ours = found["torchreid"].distances
    assert ours is not None
    assert np.abs(ours - theirs[:, :60]).max() > 0.01


def test_distractors_are_counted_and_dropped() -> None:
    qf, gf, query, gallery = random_case(6, 10, 90)
    shown = np.isin(gallery.pids, query.pids)
    kept = rank(qf, gf, query, gallery, protocols=PROTOCOLS)
    left = rank(qf, gf, query, gallery, protocols=PROTOCOLS, distractors="drop")
    alone = rank(qf, gf[shown], query, gallery[shown], protocols=PROTOCOLS)
    for name, added in (("torchreid", 0), ("mars-official", 10), ("ap3d", 10)):
        assert kept[name].distractors == left[name].distractors == (~shown).sum() > 0
        assert (kept[name].dropped, left[name].dropped) == (False, True)
        assert kept[name].gallery == 90 + added
        assert left[name].gallery == shown.sum() + added
        assert alone[name].distractors == 0
        assert_equal(left[name], alone[name])
        distances, expected = left[name].distances, alone[name].distances
        assert distances is not None and expected is not None
        np.testing.assert_allclose(distances[:, shown], expected, atol=1e-5)
        assert np.isinf(distances[:, ~shown]).all()


@pytest.mark.parametrize(("queries", "entries"), [(5, 12), (150, 90), (70, 300)])
def test_torchreids_evaluator_gives_the_same(queries: int, entries: int) -> None:
    qf, gf, query, gallery = random_case(9, queries, entries)
    for distractors in ("keep", "drop"):
        options: dict[str, Any] = {"distractors": distractors, "details": True}
        ours = rank(qf, gf, query, gallery, **options)["torchreid"]
        theirs = rank(qf, gf, query, gallery, evaluator="torchreid", **options)["torchreid"]
        np.testing.assert_allclose(ours.cmc, theirs.cmc, atol=1e-6)
        assert ours.mAP == pytest.approx(theirs.mAP, abs=1e-6)
        assert (theirs.valid_queries, theirs.gallery) == (ours.valid_queries, ours.gallery)
        assert theirs.mINP is theirs.intervals is theirs.camera_pairs is None
        np.testing.assert_array_equal(ours.distances, theirs.distances)


@pytest.mark.parametrize("entries", [40, 600])
def test_cuhk03s_metric_draws(entries: int) -> None:
    qf, gf, query, gallery = random_case(2, 20, entries)
    ranking = rank(qf, gf, query, gallery, use_metric_cuhk03=True)["torchreid"]
    assert ranking.mINP is None
    assert ranking.cmc.shape == (50,)
    assert (np.diff(ranking.cmc) >= 0).all()
    assert entries > 50 or ranking.cmc[-1] == 1
    assert ranking.mAP == pytest.approx(rank(qf, gf, query, gallery)["torchreid"].mAP, abs=1e-6)


def test_details_are_plain_and_about_the_right_queries() -> None:
    qf, gf, query, gallery = random_case(10, 80, 120)
    lengths = np.random.default_rng(0).choice([3, 8, 15, 40, 255, 256, 900], 80)
    found = rank(
        qf, gf, query, gallery, protocols=PROTOCOLS, lengths=lengths, details=True, ranks=(1, 7)
    )
    for name, entries, features in (
        ("torchreid", gallery, gf),
        ("mars-official", gallery + query, torch.cat([gf, qf])),
        ("ap3d", gallery + query, torch.cat([gf, qf])),
    ):
        ranking = found[name]
        precision = WAYS[name][1]
        json.dumps([ranking.intervals, ranking.by_length, ranking.camera_pairs])
        assert ranking.intervals is not None and ranking.by_length is not None
        assert ranking.camera_pairs is not None
        assert list(ranking.intervals) == ["rank-1", "rank-7", "mAP", "mINP"]
        low, high = ranking.intervals["mAP"]
        assert low < ranking.mAP < high

        bins = {row["frames"]: row for row in ranking.by_length}
        assert list(bins) == ["<8", "8-15", "32-63", "128-255", ">=256"]
        assert sum(row["queries"] for row in bins.values()) == ranking.valid_queries
        which = (lengths >= 8) & (lengths < 16)
        part = judge_by_loops(distance(qf, features)[which], query[which], entries)
        assert bins["8-15"]["queries"] == part["valid"]
        assert bins["8-15"]["mAP"] == pytest.approx(part[precision])
        assert bins["8-15"]["rank-7"] == pytest.approx(part["cmc"][6])

        pairs = [(row["query_camera"], row["gallery_camera"]) for row in ranking.camera_pairs]
        assert pairs == [(a, b) for a in range(3) for b in range(3) if a != b]
        for (a, b), row in zip(pairs, ranking.camera_pairs, strict=True):
            rows, columns = query.camids == a, entries.camids == b
            matrix = distance(qf, features)[rows][:, columns]
            part = judge_by_loops(matrix, query[rows], entries[columns])
            assert row["queries"] == part["valid"]
            assert row["rank-1"] == pytest.approx(part["cmc"][0])
            assert row["mAP"] == pytest.approx(part[precision])
    plain = rank(qf, gf, query, gallery)["torchreid"]
    assert plain.intervals is plain.by_length is plain.camera_pairs is None
    assert rank(qf, gf, query, gallery, details=True)["torchreid"].by_length is None


def test_what_cannot_be_ranked_is_a_clear_error() -> None:
    qf, gf, query, gallery = random_case(5, 4, 12)
    with pytest.raises(DataError, match="gallery set is empty"):
        rank(qf, gf[:0], query, Labels.of([], []))
    with pytest.raises(DataError, match="query set is empty"):
        rank(qf[:0], gf, Labels.of([], []), gallery)
    strangers = Labels.of([99] * 4, [0] * 4)
    for options in ({}, {"evaluator": "torchreid"}, {"distractors": "drop"}, {"rerank": True}):
        with pytest.raises(DataError, match="None of the 4 queries has its person"):
            rank(qf, gf, strangers, gallery, **options)  # type: ignore[arg-type]
    broken = gf.clone()
    broken[3, 1] = float("nan")
    with pytest.raises(DataError, match="gallery tracklet 3 is not finite"):
        rank(qf, broken, query, gallery)
    with pytest.raises(DataError, match="gallery tracklet 0007C2 is not finite"):
        rank(qf, broken, query, gallery, names=([""] * 4, ["", "", "", "0007C2", *[""] * 8]))
    with pytest.raises(DataError, match="gallery tracklet 3 is not finite"):
        rank(qf, broken.double().nan_to_num(1e300), query, gallery)
    # Some distances would be infinite, and as many entries equally far away.
    for options, length in (({}, 1e30), ({}, 1e19), ({"rerank": True}, 1e10)):
        long = qf.clone()
        long[2] = length
        with pytest.raises(DataError, match="query tracklet 2 is too long to compare"):
            rank(long, gf, query, gallery, **options)  # type: ignore[arg-type]
    blank = gf.clone()
    blank[5] = 0
    for options in ({"dist_metric": "cosine"}, {"normalize_feature": True}):
        with pytest.raises(DataError, match="gallery tracklet 5 is all zeros, and has no"):
            rank(qf, blank, query, gallery, **options)  # type: ignore[arg-type]
    assert rank(qf, blank, query, gallery)["torchreid"].valid_queries > 0


@pytest.mark.parametrize("scale", [1e-44, 1e-20, 1e-8, 1e12, 1e25, 1e37])
@pytest.mark.parametrize("options", [{"dist_metric": "cosine"}, {"normalize_feature": True}])
def test_directions_do_not_depend_on_the_length(options: dict[str, Any], scale: float) -> None:
    qf, gf, query, gallery = random_case(12, 10, 40)
    gf = (8 * gf).round().clamp(-20, 20) + 0.5  # digits that are left at 1e-44
    expected = rank(qf, gf, query, gallery, **options)["torchreid"]
    other = gf.clone()
    other[::3] *= scale
    found = rank(qf, other, query, gallery, **options)["torchreid"]
    assert found.distances is not None and expected.distances is not None
    close = 0.05 if scale == 1e-44 else 1e-5
    np.testing.assert_allclose(found.distances, expected.distances, atol=close)


@pytest.mark.parametrize("labels", [[2**31, -(2**40), 200, 2**63 - 1], [-1, -2, -128, 128]])
def test_persons_and_cameras_of_any_number(labels: list[int]) -> None:
    qf, gf, query, gallery = random_case(13, 30, 60)
    many = np.array(labels)
    expected = rank(
        qf, gf, Labels(query.pids % 4, query.camids), Labels(gallery.pids % 4, gallery.camids)
    )
    found = rank(
        qf,
        gf,
        Labels.of(many[query.pids % 4], many[query.camids]),
        Labels.of(many[gallery.pids % 4], many[gallery.camids]),
    )
    assert_equal(found["torchreid"], expected["torchreid"])


@pytest.mark.parametrize(
    ("pids", "message"),
    [
        ([1.0, 2.0], "persons are float64 numbers"),
        ([2**70, 1], "persons are object numbers"),
        (np.array([2**63, 1], np.uint64), "persons are uint64 numbers"),
        ([True, False], "persons are bool numbers"),
        ([1, 2, 3], r"shapes \(3,\) and \(2,\)"),
        ([[1], [2]], r"shapes \(2, 1\) and \(2,\)"),
    ],
)
def test_labels_that_would_become_others_are_refused(pids: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Labels.of(pids, [0, 1])
    assert Labels.of(np.array([200, 3], np.uint8), [0, 1]).pids.tolist() == [200, 3]


def test_torchreids_evaluator_ranks_no_distance_that_is_not_a_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    qf, gf, query, gallery = random_case(5, 4, 12)

    def rows(self: Any, part: slice) -> Tensor:
        block = torch.zeros(part.stop - part.start, 12)
        block[1, 3] = float("nan")
        return block

    monkeypatch.setattr(Distances, "rows", rows)
    for options in ({"evaluator": "torchreid"}, {"use_metric_cuhk03": True}, {}):
        with pytest.raises(DataError, match="distance of query 1 is not a number"):
            rank(qf, gf, query, gallery, **options)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="distance of query 0 is not a number"):
        evaluate_rank(np.full((1, 2), np.nan), [1], [1, 2], [0], [1, 1], use_metric_cuhk03=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dist_metric": "nonsense"}, "metric 'nonsense'"),
        ({"protocols": ("mars",)}, "protocol 'mars'"),
        ({"protocols": ()}, "No protocol"),
        ({"distractors": "hide"}, "distractors 'hide'"),
        ({"evaluator": "cython"}, "evaluator 'cython'"),
        ({"evaluator": "torchreid", "protocols": PROTOCOLS}, "'torchreid' alone"),
        ({"use_metric_cuhk03": True, "protocols": ("mars-official",)}, "'torchreid' alone"),
        ({"lengths": [1, 2]}, "2 lengths for 4 query"),
        ({"ranks": [0, 1]}, r"ranks are \[0, 1\]"),
    ],
)
def test_options_that_do_not_exist_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rank(*random_case(5, 4, 12), **options)
    qf, gf, query, gallery = random_case(5, 4, 12)
    with pytest.raises(ValueError, match="12 labels for 11 gallery features"):
        rank(qf, gf[1:], query, gallery)
    with pytest.raises(ValueError, match="have 8 numbers, and those of the gallery 7"):
        rank(qf, gf[:, 1:], query, gallery)
    with pytest.raises(ValueError, match=r"gallery features have shape \(12,\)"):
        rank(qf, gf[:, 0], query, gallery)
