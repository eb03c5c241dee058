"""OSM-CAA against loops, by hand, and inside the loss of VPRT."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nr3d.losses import OSMCAALoss, VPRTLoss, osm_caa_loss

SETTINGS = {"sigma": 0.9, "alpha": 1.7, "negative_share": 0.6}


def by_loops(
    features: Tensor,
    pids: Tensor,
    classes: Tensor,
    sigma: float,
    alpha: float,
    negative_share: float,
) -> float:
    unit = [row / row.norm() for row in features]
    vectors = [row / row.norm() for row in classes]
    own = []
    for x, pid in zip(unit, pids.tolist(), strict=True):
        raw = [math.exp(float(x @ vector)) for vector in vectors]
        own.append(raw[pid] / sum(raw))
    sums = {True: [0.0, 0.0], False: [0.0, 0.0]}
    for i in range(len(unit)):
        for j in range(len(unit)):
            if i == j:
                continue
            d = float((unit[i] - unit[j]).norm())
            same = bool(pids[i] == pids[j])
            weight = min(own[i], own[j])
            weight *= math.exp(-(d**2) / sigma**2) if same else max(alpha - d, 0)
            sums[same][0] += weight * (d**2 if same else max(alpha - d, 0) ** 2)
            sums[same][1] += weight
    halves = {same: (top / low / 2 if low else 0.0) for same, (top, low) in sums.items()}
    return (1 - negative_share) * halves[True] + negative_share * halves[False]


@pytest.mark.parametrize("pids", [[0, 0, 1, 1, 2], [0, 1, 2, 3, 4], [3, 3, 3, 3, 3]])
@pytest.mark.parametrize("alpha", [0.5, 1.7, 2.8])
def test_it_matches_loops(pids: list[int], alpha: float) -> None:
    torch.manual_seed(0)
    features, classes = torch.randn(5, 6).double(), torch.randn(5, 6).double()
    labels = torch.tensor(pids)
    expected = by_loops(features, labels, classes, **SETTINGS | {"alpha": alpha})
    found = osm_caa_loss(features, labels, classes, **SETTINGS | {"alpha": alpha})
    assert float(found) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_by_hand() -> None:
    # Two clips of one person at a right angle: d² = 2; no negatives.
    features, pids = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 0])
    loss = OSMCAALoss(**SETTINGS)(features, pids, torch.eye(2))
    assert float(loss) == pytest.approx(0.4 * 2 / 2)
    # Of two people: (1.7 - √2)² / 2.
    loss = OSMCAALoss(**SETTINGS)(features, torch.tensor([0, 1]), torch.eye(2))
    assert float(loss) == pytest.approx(0.6 * (1.7 - 2**0.5) ** 2 / 2)


def test_gradients() -> None:
    torch.manual_seed(1)
    features = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    classes = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    pids = torch.tensor([0, 0, 1, 2, 1])
    loss = OSMCAALoss(**SETTINGS)
    assert torch.autograd.gradcheck(lambda f, c: loss(f, pids, c), (features, classes))


def test_equal_features_have_finite_gradients() -> None:
    features = torch.ones(4, 3, requires_grad=True)
    OSMCAALoss()(features, torch.tensor([0, 0, 1, 1]), torch.randn(2, 3)).backward()
    assert features.grad is not None
    assert bool(features.grad.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    features = torch.randn(6, 8).to(dtype)
    pids, classes = torch.tensor([0, 0, 1, 1, 2, 2]), torch.randn(3, 8)
    found = osm_caa_loss(features, pids, classes)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    wide = osm_caa_loss(features.double(), pids, classes.double())
    assert float(found) == pytest.approx(float(wide), rel=1e-4)


def test_order_does_not_matter() -> None:
    torch.manual_seed(0)
    features, classes = torch.randn(6, 8), torch.randn(3, 8)
    pids, order = torch.tensor([0, 0, 1, 1, 2, 2]), torch.randperm(6)
    found = osm_caa_loss(features[order], pids[order], classes)
    torch.testing.assert_close(found, osm_caa_loss(features, pids, classes))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sigma": 0}, "sigma must be above 0"),
        ({"alpha": -1}, "alpha must be a finite number of at least 0, got -1"),
        ({"negative_share": 1.5}, "negative_share must be from 0 to 1, got 1.5"),
    ],
)
def test_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OSMCAALoss(**settings)


def test_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got classes \(3, 7\) and features \(2, 8\)"):
        osm_caa_loss(torch.rand(2, 8), torch.tensor([0, 1]), torch.rand(3, 7))
    with pytest.raises(ValueError, match="got pids from 0 to 3"):
        osm_caa_loss(torch.rand(2, 8), torch.tensor([0, 3]), torch.rand(3, 8))


def batch() -> tuple[Tensor, ...]:
    torch.manual_seed(2)
    logits, features, scores = torch.randn(6, 3), torch.randn(6, 8), torch.rand(6, 4)
    return logits, features, scores, torch.tensor([0, 0, 1, 1, 2, 2]), torch.rand(6, 4) < 0.5


@pytest.mark.parametrize("beta", [1.0, 0.25, 0.0])
def test_vprts_total_is_the_sum_of_its_terms(beta: float) -> None:
    loss = VPRTLoss(3, 8, beta=beta)
    logits, features, scores, pids, erased = batch()
    total, terms = loss(logits, features, scores, pids, erased)
    weights = {
        "id": 1.0,
        "triplet": 1 - beta,
        "osm_caa": beta,
        "center": 5e-4,
        "erasing_attention": 1.0,
    }
    assert set(terms) == {name for name, weight in weights.items() if weight}
    expected = sum(weights[name] * float(term) for name, term in terms.items())
    assert float(total) == pytest.approx(expected, rel=1e-5)
    if beta:
        own = osm_caa_loss(features, pids, loss.center.centers)
        torch.testing.assert_close(terms["osm_caa"], own.detach())


def test_vprts_centers_follow_the_center_loss_alone() -> None:
    loss = VPRTLoss(3, 8)
    logits, features, scores, pids, erased = batch()
    features.requires_grad_()
    total, _ = loss(logits, features, scores, pids, erased)
    total.backward()
    centers = loss.center.centers
    expected = (
        5e-4
        * 2
        / 6
        * torch.stack(
            [sum((centers[k] - f for f in features[pids == k]), 0 * centers[k]) for k in range(3)]
        )
    )
    torch.testing.assert_close(centers.grad, expected.detach())


def test_vprts_settings_come_from_the_configuration() -> None:
    values = {"label_smooth": False, "sigma": 0.5, "osm_alpha": 1.0, "beta": 0.5}
    loss = VPRTLoss.configured(3, 8, values)
    assert isinstance(loss, VPRTLoss)
    assert (loss.label_smoothing, loss.osm_caa.sigma, loss.osm_caa.alpha) == (0.0, 0.5, 1.0)
    with pytest.raises(ValueError, match=r"beta must be from 0 to 1, got 2"):
        VPRTLoss(3, 8, beta=2)
