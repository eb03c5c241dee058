"""Ranked list loss against a plain-loop oracle, values worked out by hand and odd batches."""

import math

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nr3d.losses import RankedListLoss, ranked_list_loss

DEFAULTS = {"margin": 1.3, "alpha": 2.0, "temperature": 1.0, "negative_weight": 1.0}
SETTINGS = [
    {},
    {"alpha": 1.4, "margin": 0.4},
    {"temperature": 10.0},
    {"temperature": 0.0, "negative_weight": 0.5},
]


def oracle(features: Tensor, pids: Tensor, **settings: float) -> Tensor:
    """The equations of the class docstring, one anchor and one pair at a time."""
    s = {**DEFAULTS, **settings}
    unit = [row / row.norm() for row in features]
    total = features.new_zeros(())
    for i in range(len(unit)):
        positives, numerator, denominator = [], 0.0, 0.0
        for j in range(len(unit)):
            if j == i:
                continue
            distance = (unit[i] - unit[j]).norm()
            if pids[j] == pids[i]:
                positives.append((distance - (s["alpha"] - s["margin"])).clamp(min=0))
            elif distance < s["alpha"]:
                v = torch.exp(s["temperature"] * (s["alpha"] - distance))
                numerator = numerator + v * (s["alpha"] - distance)
                denominator = denominator + v
        if positives:
            total = total + sum(positives) / len(positives)
        if isinstance(denominator, Tensor):
            total = total + s["negative_weight"] * numerator / denominator
    return total / len(unit)


def batch(*counts: int, dim: int = 6, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Random features of identities that have `counts` samples each."""
    generator = torch.Generator().manual_seed(7)
    features = 3 * torch.randn(sum(counts), dim, generator=generator, dtype=dtype)
    return features.requires_grad_(), torch.arange(len(counts)).repeat_interleave(
        torch.tensor(counts)
    )


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("counts", [(2, 2), (4, 4, 4), (1, 3, 2, 1)], ids=str)
def test_value_and_gradient_equal_the_loop(counts, settings):
    features, pids = batch(*counts)
    loss = RankedListLoss(**settings)(features, pids)
    expected = oracle(features, pids, **settings)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        torch.autograd.grad(loss, features), torch.autograd.grad(expected, features)
    )


def test_value_worked_out_by_hand():
    # Unit vectors at 0°, 180° and 90°: d01 = 2, d02 = d12 = √2. Identities 0, 0, 1; α - m = 0.7.
    # Anchors 0 and 1: L_P = 2 - 0.7 = 1.3; one negative, whose weight is 1: L_N = 2 - √2.
    # Anchor 2: no positive; both negatives at √2, so L_N = 2 - √2 whatever the weights.
    # Mean: (1.3 + 1.3) / 3 + (2 - √2) = 1.452453. The lengths 5, 1 and 0.1 must not matter.
    features = torch.tensor([[5.0, 0.0], [-1.0, 0.0], [0.0, 0.1]])
    loss = RankedListLoss()(features, torch.tensor([0, 0, 1]))
    assert loss.item() == pytest.approx(2.6 / 3 + 2 - math.sqrt(2), abs=1e-6)


def test_weighting_of_negatives_worked_out_by_hand():
    # Unit vectors at 0°, 60° and 180°, all of different identities: d01 = 1, d12 = √3, d02 = 2.
    # d02 is not below α = 2. With α - d of 1 and g = 2 - √3 and τ = 2:
    #   anchor 0: 1;  anchor 2: g;  anchor 1: (e² · 1 + e^{2g} · g) / (e² + e^{2g}).
    half, root = 0.5, math.sqrt(3)
    features = torch.tensor([[1.0, 0.0], [half, root / 2], [-1.0, 0.0]], dtype=torch.float64)
    gap = 2 - root
    near, far = math.exp(2), math.exp(2 * gap)
    anchors = [1, (near + far * gap) / (near + far), gap]
    loss = ranked_list_loss(features, torch.tensor([0, 1, 2]), temperature=2.0, negative_weight=0.5)
    assert loss.item() == pytest.approx(0.5 * sum(anchors) / 3, abs=1e-12)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_gradient_equals_finite_differences(settings):
    features, pids = batch(3, 2, 2)
    loss = RankedListLoss(**settings)
    # Finite differences need room to the two kinks, d = α - m and d = α.
    unit = torch.nn.functional.normalize(features.detach())
    distance = torch.pdist(unit)
    for kink in (loss.alpha - loss.margin, loss.alpha):
        assert (distance - kink).abs().min() > 1e-3
    assert torch.autograd.gradcheck(lambda x: loss(x, pids), features)


def test_order_of_the_batch_does_not_matter():
    features, pids = batch(3, 2, 4)
    order = torch.randperm(len(pids), generator=torch.Generator().manual_seed(0))
    loss = RankedListLoss()
    torch.testing.assert_close(loss(features[order], pids[order]), loss(features, pids))


@pytest.mark.parametrize("counts", [(1,), (5,), (1, 1, 1)], ids=str)
def test_batches_that_lack_a_term(counts):
    # One sample; no other identity; no positive at all.
    features, pids = batch(*counts)
    loss = RankedListLoss()(features, pids)
    torch.testing.assert_close(loss, oracle(features, pids))
    loss.backward()
    assert features.grad.isfinite().all()


def test_nothing_to_correct_is_zero_and_still_has_a_gradient():
    # Two tight identities at the two ends of a line: no excess, no violating negative.
    features = torch.tensor([[1.0, 0.0], [2.0, 0.0], [-1.0, 0.0], [-3.0, 0.0]], requires_grad=True)
    loss = RankedListLoss()(features, torch.tensor([0, 0, 1, 1]))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(features.grad, torch.zeros_like(features))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("pids", [[0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 2, 3]], ids=str)
@pytest.mark.parametrize("value", [1.0, 0.3, 0.0], ids=lambda value: f"all {value}")
def test_identical_features_have_finite_gradients(value, pids, dtype):
    # Zeros are what a BatchNorm without bias makes of identical features.
    features = torch.full((4, 8), value, dtype=dtype, requires_grad=True)
    pids = torch.tensor(pids)
    loss = RankedListLoss()(features, pids)
    loss.backward()
    # Every distance is 0: no excess, and each anchor with negatives is short by all of α.
    assert loss.item() == pytest.approx(2.0 if len(pids.unique()) > 1 else 0.0, abs=2e-3)
    assert features.grad.isfinite().all()
    assert features.grad.abs().max() < 100


def test_zero_feature_among_others_has_a_zero_gradient():
    features, pids = batch(2, 2)
    features = features.detach().clone()
    features[0] = 0
    features.requires_grad_()
    RankedListLoss()(features, pids).backward()
    assert torch.equal(features.grad[0], torch.zeros(6, dtype=torch.float64))
    assert features.grad[1:].abs().sum() > 0


def test_duplicated_tracklet_gradient_equals_the_limit():
    # Rows 0 and 1 are equal; moving one of them by 1e-7 must not change the gradient to speak of.
    features, pids = batch(2, 3)
    twin = features.detach().clone()
    twin[1] = twin[0]
    near = twin.clone()
    near[1] += 1e-7
    gradients = []
    for rows in (twin, near):
        rows.requires_grad_()
        gradients += torch.autograd.grad(RankedListLoss()(rows, pids), rows)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("pids", [[0, 0, 1], [0, 1, 2]], ids=str)
def test_nan_feature_is_not_hidden(pids):
    features = torch.eye(3)
    features[2, 0] = torch.nan
    assert RankedListLoss()(features, torch.tensor(pids)).isnan()


@pytest.mark.parametrize("temperature", [1e3, 1e6])
def test_large_temperature_does_not_overflow(temperature):
    features, pids = batch(2, 2, dtype=torch.float32)
    loss = RankedListLoss(temperature=temperature)(features, pids)
    loss.backward()
    assert loss.isfinite()
    assert features.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_types_give_the_value_of_the_same_numbers_in_full_precision(dtype, autocast):
    features, pids = batch(4, 4, 4, 4, dim=64, dtype=torch.float32)
    features = features.detach().to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = RankedListLoss()(features, pids)
    loss.backward()
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert features.grad.dtype == dtype
    expected = oracle(features.detach().double(), pids)
    torch.testing.assert_close(loss.detach().double(), expected, rtol=1e-5, atol=1e-5)


def test_float16_features_whose_squares_overflow():
    features = torch.tensor([[300.0, 400.0], [-300.0, 400.0]], dtype=torch.float16)
    expected = oracle(features.double(), torch.tensor([0, 1])).float()
    torch.testing.assert_close(RankedListLoss()(features, torch.tensor([0, 1])), expected)


def test_memory_stays_below_a_tensor_of_all_differences():
    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if isinstance(out, Tensor):
                self.numbers = max(self.numbers, out.numel())
            return out

    features, pids = batch(8, 8, 8, dim=100)
    with Largest() as largest:
        RankedListLoss()(features, pids).backward()
    assert 0 < largest.numbers <= max(24 * 100, 24 * 24)


@pytest.mark.parametrize(
    ("features", "pids", "message"),
    [
        ((4, 8), (3,), r"features \(4, 8\) and pids \(3,\)"),
        ((4, 2, 8), (4,), r"features \(4, 2, 8\)"),
        ((4, 8), (4, 1), r"pids \(4, 1\)"),
        ((0, 8), (0,), r"features \(0, 8\) and pids \(0,\)"),
    ],
)
def test_wrong_shapes_are_printed(features, pids, message):
    with pytest.raises(ValueError, match=message):
        RankedListLoss()(torch.zeros(features), torch.zeros(pids, dtype=torch.long))


def test_float_pids_are_refused():
    with pytest.raises(ValueError, match=r"integer type, got torch\.float32"):
        RankedListLoss()(torch.zeros(2, 3), torch.zeros(2))


@pytest.mark.parametrize("name", DEFAULTS)
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .* got {value}"):
        RankedListLoss(**{name: value})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gpu_autocast_gives_the_cpu_value(dtype):
    features, pids = batch(4, 4, 4, 4, dim=64, dtype=torch.float32)
    with torch.autocast("cuda", dtype=dtype):
        loss = RankedListLoss()(features.detach().cuda(), pids.cuda())
    expected = RankedListLoss()(features.detach(), pids)
    torch.testing.assert_close(loss.cpu(), expected, rtol=1e-4, atol=1e-4)
