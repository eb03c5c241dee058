"""Center loss against a plain-loop oracle, a value worked out by hand and odd batches."""

import pytest
import torch
from torch import Tensor, nn

from nr3d.losses import CenterLoss, center_loss

REDUCTIONS = ["mean", "half_sum"]


def oracle(features: Tensor, pids: Tensor, centers: Tensor, reduction: str) -> Tensor:
    total = features.new_zeros(())
    for feature, pid in zip(features, pids, strict=True):
        for value, center in zip(feature, centers[pid], strict=True):
            total = total + (value - center) ** 2
    return total / len(features) if reduction == "mean" else total / 2


def batch(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(6, 5, generator=generator, dtype=dtype)
    centers = torch.randn(4, 5, generator=generator, dtype=dtype)
    return features.requires_grad_(), torch.tensor([0, 0, 3, 1, 3, 3]), centers.requires_grad_()


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_value_and_gradients_equal_the_loop(reduction):
    features, pids, centers = batch()
    loss = center_loss(features, pids, centers, reduction=reduction)
    expected = oracle(features, pids, centers, reduction)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        torch.autograd.grad(loss, (features, centers)),
        torch.autograd.grad(expected, (features, centers)),
    )


@pytest.mark.parametrize(("reduction", "expected"), [("mean", 7.0), ("half_sum", 7.0)])
def test_value_worked_out_by_hand(reduction, expected):
    # Centers (1, 1) and (0, 2). Squared distances: (3, 1) to the first 4, (1, -1) to the second
    # 1 + 9 = 10. Mean 14 / 2 and half the sum 14 / 2 are the same for two samples.
    loss = CenterLoss(2, 2, reduction=reduction)
    with torch.no_grad():
        loss.centers.copy_(torch.tensor([[1.0, 1.0], [0.0, 2.0]]))
    features = torch.tensor([[3.0, 1.0], [1.0, -1.0]])
    assert loss(features, torch.tensor([0, 1])).item() == expected
    # Four samples tell them apart: 28 / 4 and 28 / 2.
    doubled = loss(features.repeat(2, 1), torch.tensor([0, 1, 0, 1])).item()
    assert doubled == {"mean": 7.0, "half_sum": 14.0}[reduction]


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradient_equals_finite_differences(reduction):
    features, pids, centers = batch()
    assert torch.autograd.gradcheck(
        lambda f, c: center_loss(f, pids, c, reduction=reduction), (features, centers)
    )


def test_mean_is_the_default():
    features, pids, centers = batch()
    torch.testing.assert_close(
        center_loss(features, pids, centers), oracle(features, pids, centers, "mean")
    )
    assert CenterLoss(4, 5).reduction == "mean"


def test_centers_are_the_only_parameter():
    loss = CenterLoss(4, 5)
    assert [(name, p.shape) for name, p in loss.named_parameters()] == [("centers", (4, 5))]
    assert isinstance(loss.centers, nn.Parameter)
    torch.manual_seed(11)
    drawn = CenterLoss(400, 100).centers
    assert drawn.mean().item() == pytest.approx(0, abs=0.02)
    assert drawn.std().item() == pytest.approx(1, abs=0.02)


def test_only_centers_of_the_batch_get_a_gradient():
    features, pids, _ = batch(torch.float32)
    loss = CenterLoss(4, 5)
    loss(features, pids).backward()
    assert loss.centers.grad.abs().sum(dim=1).ne(0).tolist() == [True, True, False, True]


def test_order_of_the_batch_does_not_matter():
    features, pids, centers = batch()
    order = torch.tensor([5, 2, 0, 4, 1, 3])
    torch.testing.assert_close(
        center_loss(features[order], pids[order], centers), center_loss(features, pids, centers)
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_identical_features_on_their_center(reduction):
    centers = torch.ones(2, 3, requires_grad=True)
    features = torch.ones(4, 3, requires_grad=True)
    loss = center_loss(features, torch.tensor([0, 0, 1, 1]), centers, reduction=reduction)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(features.grad, torch.zeros(4, 3))
    assert torch.equal(centers.grad, torch.zeros(2, 3))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_batch_of_one(reduction):
    features, pids, centers = batch()
    torch.testing.assert_close(
        center_loss(features[:1], pids[:1], centers, reduction=reduction),
        oracle(features[:1], pids[:1], centers, reduction),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_types_give_the_value_of_the_same_numbers_in_full_precision(dtype, autocast):
    features, pids, _ = batch()
    features = (100 * features.detach()).to(dtype).requires_grad_()
    loss = CenterLoss(4, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        value = loss(features, pids)
    value.backward()
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert features.grad.dtype == dtype
    assert loss.centers.grad.dtype == torch.float32
    expected = oracle(features.detach().double(), pids, loss.centers.detach().double(), "mean")
    torch.testing.assert_close(value.detach().double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("features", "pids", "message"),
    [
        ((4, 5), (3,), r"features \(4, 5\) and pids \(3,\)"),
        ((4, 5, 1), (4,), r"features \(4, 5, 1\)"),
        ((0, 5), (0,), r"features \(0, 5\)"),
        ((4, 6), (4,), r"centers \(7, 5\) and features \(4, 6\)"),
    ],
)
def test_wrong_shapes_are_printed(features, pids, message):
    with pytest.raises(ValueError, match=message):
        CenterLoss(7, 5)(torch.zeros(features), torch.zeros(pids, dtype=torch.long))


@pytest.mark.parametrize(("pids", "met"), [([0, 4], "0 to 4"), ([-1, 2], "-1 to 2")])
def test_labels_without_a_center_are_refused(pids, met):
    with pytest.raises(ValueError, match=f"from 0 to 3 for 4 classes, got pids from {met}"):
        CenterLoss(4, 5)(torch.zeros(2, 5), torch.tensor(pids))


def test_unknown_reduction_names_the_choices():
    with pytest.raises(ValueError, match="'sum'; choose one of mean, half_sum"):
        CenterLoss(4, 5, reduction="sum")
    features, pids, centers = batch()
    with pytest.raises(ValueError, match="'none'; choose one of mean, half_sum"):
        center_loss(features, pids, centers, reduction="none")


@pytest.mark.parametrize("sizes", [(0, 5), (4, 0)])
def test_sizes_below_one_are_refused(sizes):
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        CenterLoss(*sizes)
