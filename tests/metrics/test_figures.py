"""Figures of a test from those of single queries."""

from __future__ import annotations

import tracemalloc

import numpy as np

from nr3d.metrics.figures import RESAMPLES, by_length, intervals


def test_intervals_are_those_of_draws_with_replacement() -> None:
    rng = np.random.default_rng(1)
    each = {"rank-1": (rng.random(300) < 0.8).astype(float), "mAP": rng.random(300)}
    found = intervals(each)
    assert intervals(each) == found
    assert intervals(each, seed=1) != found
    for name, (low, high) in found.items():
        mean, error = each[name].mean(), each[name].std() / np.sqrt(300)
        # The mean of 300 is nearly normal; the ends of 1000 draws vary by a tenth of an error.
        np.testing.assert_allclose(
            [low, high], mean + error * np.array([-1.96, 1.96]), atol=error / 2
        )
    assert intervals({"mAP": np.array([0.25])}) == {"mAP": [0.25, 0.25]}


def test_intervals_of_many_queries_hold_one_draw_at_a_time() -> None:
    queries = 5000
    each = {"mAP": np.ones(queries)}
    tracemalloc.start()
    intervals(each)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 8 * queries < 8 * queries * RESAMPLES / 100


def test_every_bin_of_lengths_has_its_ends() -> None:
    ends = [1, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 999]
    rows = by_length({"mAP": np.arange(14.0)}, np.array(ends))
    names = ["<8", "8-15", "16-31", "32-63", "64-127", "128-255", ">=256"]
    assert [row["frames"] for row in rows] == names
    assert [row["queries"] for row in rows] == [2] * 7
    assert [row["mAP"] for row in rows] == [0.5 + 2 * place for place in range(7)]
