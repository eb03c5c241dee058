"""The recipe's learning rate, epoch by epoch."""

from __future__ import annotations

import pytest
import torch

from nr3d.config import load_config
from nr3d.engine import warmup_multi_step


def rates(epochs: int, **options: object) -> list[float]:
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=3.5e-4)
    scheduler = warmup_multi_step(optimizer, **options)
    seen = []
    for _ in range(epochs):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_the_papers_schedule() -> None:
    lr = rates(100)
    assert lr[0] == pytest.approx(3.5e-6)
    assert lr[5] == pytest.approx(3.5e-4 * (0.01 + 0.99 * 0.5))
    assert lr[9] == pytest.approx(3.5e-4 * (0.01 + 0.99 * 0.9))
    assert lr[10:40] == pytest.approx([3.5e-4] * 30)
    assert lr[40:70] == pytest.approx([3.5e-5] * 30)
    assert lr[70:] == pytest.approx([3.5e-6] * 30)


def test_the_schedule_of_the_public_code_that_is_stepped_before_the_epoch() -> None:
    """Epoch e (from 0) has the rate that the paper's schedule gives e + 1."""
    cfg = load_config("mars_reference")
    lr = rates(
        200,
        stepsize=cfg.train.stepsize,
        gamma=cfg.train.gamma,
        warmup_epochs=cfg.not3d.warmup_epochs,
        warmup_factor=cfg.not3d.warmup_factor,
    )
    # 0.01 · (1 - a) + a for a = 0.1, 0.2 ... 0.9
    warm = [0.109, 0.208, 0.307, 0.406, 0.505, 0.604, 0.703, 0.802, 0.901]
    by_hand = warm + [1] * 30 + [0.1] * 30 + [0.01] * 131
    assert lr == pytest.approx([3.5e-4 * share for share in by_hand])
    assert lr[:-1] == pytest.approx(rates(200)[1:])


def test_without_warm_up_and_other_steps() -> None:
    assert rates(4, warmup_epochs=0, stepsize=[3, 1], gamma=0.5) == pytest.approx(
        [3.5e-4, 1.75e-4, 1.75e-4, 0.875e-4]
    )


def test_state_goes_on_where_it_was() -> None:
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = warmup_multi_step(optimizer)
    for _ in range(7):
        optimizer.step()
        scheduler.step()
    other = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    resumed = warmup_multi_step(other)
    other.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    for one in (optimizer, other):
        one.step()
    scheduler.step(), resumed.step()
    assert other.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"] == pytest.approx(0.802)


@pytest.mark.parametrize("options", [{"warmup_epochs": -1}, {"warmup_factor": 2.0}])
def test_bad_settings_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="warm-up over"):
        rates(1, **options)
