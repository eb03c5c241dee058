"""When an attention counts as flat, and what its weights come to."""

from __future__ import annotations

import pytest
import torch

from nr3d.models import AttentionHealth, SpatialTemporalAttention, VideoReID
from nr3d.models.aggregations.attention_health import (
    FIGURES,
    are_flat,
    clip_figures,
    health_of,
    state_of,
)
from nr3d.models.aggregations.registry import attends


def health(weights: list[list[float]], erased: list[list[int]] | None = None) -> AttentionHealth:
    given = None if erased is None else torch.tensor(erased)
    found = clip_figures(torch.tensor(weights), given)
    return health_of(dict(zip(FIGURES, found.tolist(), strict=True)))


def test_the_figures_are_those_computed_by_hand() -> None:
    weights = [
        [0.25, 0.25, 0.25, 0.25],  # flat; both erased and clean frames
        [0.10, 0.20, 0.30, 0.40],  # erased 0.1 and 0.2, clean 0.3 and 0.4
        [0.70, 0.10, 0.10, 0.10],  # nothing erased
        [0.00, 0.00, 0.00, 1.00],  # everything erased
    ]
    erased = [[0, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]
    found = health(weights, erased)
    assert found.flat == 0.25
    assert found.largest == pytest.approx((0.25 + 0.4 + 0.7 + 1) / 4)
    assert found.erased_over_clean == pytest.approx((0.25 + 0.15) / (0.25 + 0.35))
    assert found.state == "alive"
    assert found.summary() == {"state": "alive", "flat": 0.25, "largest": found.largest}


def test_without_erased_and_clean_frames_in_a_clip_there_is_no_ratio() -> None:
    assert health([[0.1, 0.9]]).erased_over_clean is None
    assert health([[0.1, 0.9]], [[0, 0]]).erased_over_clean is None
    assert health([[0.1, 0.9], [0.5, 0.5]], [[1, 1], [0, 0]]).erased_over_clean is None
    assert health([[1.0, 0.0]], [[1, 0]]).erased_over_clean is None  # the clean one has no weight


@pytest.mark.parametrize("frames", [2, 4, 15])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rounding_hides_no_flatness(frames: int, dtype: torch.dtype) -> None:
    even = torch.full((1, frames), 1 / frames)
    assert are_flat(even.to(dtype)).tolist() == [True]
    # As far apart as two neighbours in bfloat16.
    other = even.clone()
    other[0, 0] *= 1 + 2**-7
    assert are_flat(other).tolist() == [True]
    other[0, 0] = 1.02 / frames
    assert are_flat(other).tolist() == [False]


def test_an_attention_is_flat_from_99_clips_of_100() -> None:
    flat, alive = [[0.5, 0.5]], [[0.2, 0.8]]
    assert health(flat * 99 + alive).state == "flat"
    assert health(flat * 98 + alive * 2).state == "alive"
    assert state_of([health(flat), health(alive)]) == "alive"
    assert state_of([None, health(flat)]) == "flat"
    assert state_of([None]) is None


def test_it_is_put_in_few_words() -> None:
    assert str(AttentionHealth(1.0, 0.25, 1.0)) == "100% flat"
    assert str(AttentionHealth(0.1, 0.394)) == "largest 0.39"
    assert str(AttentionHealth(0.1, 0.394, 0.521)) == "largest 0.39, erased/clean 0.52"


def test_only_learnt_weights_attend() -> None:
    assert VideoReID(18, 2).attends
    assert not VideoReID(18, 2, aggregation="mean").attends

    class Another(SpatialTemporalAttention):
        pass

    assert attends(Another)
    assert not attends(torch.nn.Identity())
