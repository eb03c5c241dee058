"""Not 3D's total against a plain-loop oracle and torchreid's own ID loss."""

import math

import pytest
import torch
import torchreid
from torch import Tensor, nn

from nr3d.losses import CenterLoss, Not3DLoss, center_loss, erasing_attention_loss, ranked_list_loss

K, D, T = 5, 6, 4
TERMS = ["id", "ranked_list", "center", "erasing_attention"]
WEIGHTS = [f"{name}_weight" for name in TERMS]

Batch = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def batch(dtype: torch.dtype = torch.float64, size: int = 8) -> Batch:
    generator = torch.Generator().manual_seed(9)
    logits = torch.randn(size, K, generator=generator, dtype=torch.float64)
    features = torch.randn(size, D, generator=generator, dtype=torch.float64)
    scores = torch.rand(size, T, generator=generator, dtype=torch.float64)
    erased = torch.rand(size, T, generator=generator) < 0.5
    pids = torch.tensor([0, 0, 1, 1, 4, 4, 3, 3])[:size]
    floats = (x.to(dtype).requires_grad_() for x in (logits, features, scores))
    return *floats, pids, erased


def id_oracle(
    logits: Tensor, pids: Tensor, smoothing: float = 0.1, over: int | None = None
) -> Tensor:
    """Cross entropy to (1 - ε) · one-hot + ε / ``over``, by default K, one class at a time."""
    total = logits.new_zeros(())
    for row, pid in zip(logits, pids, strict=True):
        partition = sum(torch.exp(value) for value in row)
        for k, value in enumerate(row):
            target = (1 - smoothing) * (k == pid) + smoothing / (over or len(row))
            total = total - target * torch.log(torch.exp(value) / partition)
    return total / len(logits)


def test_terms_and_total_with_the_defaults():
    logits, features, scores, pids, erased = batch()
    loss = Not3DLoss(K, D).double()
    total, terms = loss(logits, features, scores, pids, erased)

    # The three others have their own oracles beside this file.
    expected = {
        "id": id_oracle(logits, pids),
        "ranked_list": ranked_list_loss(features, pids),
        "center": center_loss(features, pids, loss.center.centers),
        "erasing_attention": erasing_attention_loss(scores, erased),
    }
    assert list(terms) == TERMS
    for name, term in terms.items():
        torch.testing.assert_close(term, expected[name].detach())
        assert term.shape == ()
        assert not term.requires_grad
    sum_by_hand = (
        expected["id"]
        + expected["ranked_list"]
        + 0.0005 * expected["center"]
        + expected["erasing_attention"]
    )
    torch.testing.assert_close(total, sum_by_hand)
    inputs = (logits, features, scores, loss.center.centers)
    torch.testing.assert_close(
        torch.autograd.grad(total, inputs), torch.autograd.grad(sum_by_hand, inputs)
    )


def test_value_worked_out_by_hand():
    # Two clips of different identities, logits all 0: ID = ln 2 whatever the smoothing.
    # Features (2, 0) and (0, 2): d = √2, no positives, each L_N = 2 - √2.
    # Centers at 0: both squared distances are 4, mean 4. Erased scores 1 and 3 of 2 x 2: 1.
    loss = Not3DLoss(2, 2)
    nn.init.zeros_(loss.center.centers)
    total, terms = loss(
        torch.zeros(2, 2),
        torch.tensor([[2.0, 0.0], [0.0, 2.0]]),
        torch.tensor([[1.0, 2.0], [3.0, 5.0]]),
        torch.tensor([0, 1]),
        torch.tensor([[1.0, 0.0], [1.0, 0.0]]),
    )
    by_hand = {
        "id": math.log(2),
        "ranked_list": 2 - math.sqrt(2),
        "center": 4.0,
        "erasing_attention": 1.0,
    }
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(by_hand, rel=1e-6)
    assert total.item() == pytest.approx(math.log(2) + 2 - math.sqrt(2) + 0.002 + 1, rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_id_loss_is_the_one_of_torchreid(smoothing):
    logits, features, scores, pids, erased = batch(torch.float32)
    _, terms = Not3DLoss(K, D, label_smoothing=smoothing)(logits, features, scores, pids, erased)
    theirs = torchreid.losses.CrossEntropyLoss(num_classes=K, eps=smoothing, use_gpu=False)
    torch.testing.assert_close(terms["id"], theirs(logits, pids).detach())


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_labels_smoothed_over_the_batch(smoothing):
    inputs = batch()
    logits, _, _, pids, _ = inputs
    loss = Not3DLoss(
        K, D, label_smoothing=smoothing, label_smoothing_over="batch", **only("id")
    ).double()
    total, terms = loss(*inputs)
    expected = id_oracle(logits, pids, smoothing, over=len(logits))
    torch.testing.assert_close(terms["id"], expected.detach())
    torch.testing.assert_close(
        torch.autograd.grad(total, logits), torch.autograd.grad(expected, logits)
    )
    same = torch.allclose(expected, id_oracle(logits, pids, smoothing))
    assert same == (smoothing == 0)


def test_labels_smoothed_over_the_batch_by_hand():
    # Logits all 0: every log-probability is -ln 5. Targets add up to 0.9 + 5 · 0.1 / 2 = 1.15.
    loss = Not3DLoss(5, 2, label_smoothing_over="batch")
    inputs = (torch.zeros(2, 5), torch.ones(2, 2), torch.zeros(2, 4))
    _, terms = loss(*inputs, torch.tensor([0, 1]), torch.zeros(2, 4))
    assert terms["id"].item() == pytest.approx(1.15 * math.log(5), rel=1e-6)


def only(name: str) -> dict[str, float]:
    """Return weights that leave one term."""
    return dict.fromkeys(WEIGHTS, 0.0) | {f"{name}_weight": 1.0}


def test_erasing_attention_summed_over_the_frames():
    inputs = batch()
    _, _, scores, _, erased = inputs
    loss = Not3DLoss(K, D, erasing_attention_reduction="sum", **only("erasing_attention")).double()
    total, terms = loss(*inputs)
    mean = erasing_attention_loss(scores, erased)
    torch.testing.assert_close(terms["erasing_attention"], T * mean.detach())
    torch.testing.assert_close(total, T * mean)


def test_settings_reach_their_terms():
    inputs = batch()
    logits, features, _, pids, _ = inputs
    settings = {"margin": 0.4, "alpha": 1.2, "temperature": 10.0, "negative_weight": 0.5}
    loss = Not3DLoss(K, D, label_smoothing=0.2, center_reduction="half_sum", **settings).double()
    _, terms = loss(*inputs)
    torch.testing.assert_close(terms["id"], id_oracle(logits, pids, 0.2).detach())
    torch.testing.assert_close(
        terms["ranked_list"], ranked_list_loss(features, pids, **settings).detach()
    )
    centers = loss.center.centers
    half_sum = center_loss(features, pids, centers, reduction="half_sum")
    torch.testing.assert_close(terms["center"], half_sum.detach())


@pytest.mark.parametrize("name", TERMS)
def test_weights_scale_their_term_in_the_total_alone(name):
    weights = dict.fromkeys(WEIGHTS, 0.0) | {f"{name}_weight": 3.0}
    total, terms = Not3DLoss(K, D, **weights)(*batch())
    torch.testing.assert_close(total.detach(), 3 * terms[name], check_dtype=False)
    assert all(term > 0 for term in terms.values())


def test_centers_learn_from_the_weighted_gradient():
    inputs = batch()
    _, features, _, pids, _ = inputs
    loss = Not3DLoss(K, D, center_weight=0.25).double()
    total, _ = loss(*inputs)
    (weighted,) = torch.autograd.grad(total, loss.center.centers)
    (own,) = torch.autograd.grad(
        center_loss(features, pids, loss.center.centers), loss.center.centers
    )
    torch.testing.assert_close(weighted / loss.center_weight, own)


def triplet_oracle(features: Tensor, pids: Tensor, margin: float = 0.3) -> Tensor:
    """For each clip, the farthest of its identity against the nearest of the others."""
    total = features.new_zeros(())
    for anchor, pid in zip(features, pids, strict=True):
        distances = [torch.linalg.vector_norm(anchor - other) for other in features]
        own = [d for d, other in zip(distances, pids, strict=True) if other == pid]
        others = [d for d, other in zip(distances, pids, strict=True) if other != pid]
        total = total + torch.relu(max(own) - min(others) + margin)
    return total / len(features)


def test_triplet_takes_the_ranked_lists_place_and_weight():
    inputs = batch()
    _, features, _, pids, _ = inputs
    loss = Not3DLoss(K, D, metric_loss="triplet", ranked_list_weight=3.0).double()
    total, terms = loss(*inputs)
    assert list(terms) == ["id", "triplet", "center", "erasing_attention"]
    expected = triplet_oracle(features, pids)
    assert expected > 0
    torch.testing.assert_close(terms["triplet"], expected.detach())
    assert torchreid.losses.TripletLoss(0.3)(features, pids) == terms["triplet"]

    without = Not3DLoss(K, D, ranked_list_weight=0.0).double()
    without.center.load_state_dict(loss.center.state_dict())
    torch.testing.assert_close(total, without(*inputs)[0] + 3 * expected)
    (gradient,) = torch.autograd.grad(total - without(*inputs)[0], features)
    torch.testing.assert_close(gradient, torch.autograd.grad(3 * expected, features)[0])
    assert "metric_loss='triplet'" in repr(loss)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_triplet_is_computed_in_full_precision_under_autocast(dtype):
    inputs = batch(dtype)
    loss = Not3DLoss(K, D, metric_loss="triplet")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, terms = loss(*inputs)
    total.backward()
    assert inputs[1].grad.dtype == dtype
    assert terms["triplet"].dtype == torch.float32
    expected = triplet_oracle(inputs[1].detach().double(), inputs[3])
    torch.testing.assert_close(terms["triplet"], expected, rtol=1e-4, atol=1e-5, check_dtype=False)


@pytest.mark.parametrize("size", [1, 2])
def test_triplet_of_one_identity_says_what_is_missing(size):
    with pytest.raises(ValueError, match=f"two identities in a batch, got {size} clips of one"):
        Not3DLoss(K, D, metric_loss="triplet")(*batch(size=size))


def test_triplet_of_identical_clips_has_finite_gradients():
    logits, scores = torch.zeros(4, K), torch.zeros(4, T)
    features = torch.zeros(4, D, requires_grad=True)
    pids, erased = torch.tensor([0, 0, 1, 1]), torch.ones(4, T)
    total, terms = Not3DLoss(K, D, metric_loss="triplet")(logits, features, scores, pids, erased)
    total.backward()
    assert terms["triplet"].item() == pytest.approx(0.3)
    assert features.grad.isfinite().all()


def test_center_is_the_only_part_that_learns():
    loss = Not3DLoss(K, D)
    assert isinstance(loss.center, CenterLoss)
    assert [name for name, _ in loss.named_parameters()] == ["center.centers"]
    assert loss.center_weight == 5e-4


def test_gradient_equals_finite_differences():
    logits, features, scores, pids, erased = batch()
    loss = Not3DLoss(K, D, center_weight=0.5).double()
    assert torch.autograd.gradcheck(
        lambda *x: loss(*x, pids, erased)[0], (logits, features, scores)
    )


def test_order_of_the_batch_does_not_matter():
    inputs = batch()
    order = torch.tensor([6, 1, 3, 0, 7, 5, 2, 4])
    loss = Not3DLoss(K, D)
    torch.testing.assert_close(loss(*(x[order] for x in inputs)), loss(*inputs))


def test_batch_of_one():
    inputs = batch(size=1)
    total, terms = Not3DLoss(K, D)(*inputs)
    total.backward()
    assert terms["ranked_list"].item() == 0
    assert total.isfinite()
    assert all(x.grad.isfinite().all() for x in inputs[:3])


def test_identical_clips():
    logits, features, scores = torch.zeros(4, K), torch.zeros(4, D), torch.zeros(4, T)
    for x in (logits, features, scores):
        x.requires_grad_()
    pids, erased = torch.tensor([0, 0, 1, 1]), torch.ones(4, T)
    total, terms = Not3DLoss(K, D)(logits, features, scores, pids, erased)
    total.backward()
    assert terms["id"].item() == pytest.approx(math.log(K))
    assert terms["ranked_list"].item() == pytest.approx(2.0)
    assert all(x.grad.isfinite().all() for x in (logits, features, scores))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_types_give_the_value_of_the_same_numbers_in_full_precision(dtype, autocast):
    inputs = batch(dtype)
    loss = Not3DLoss(K, D)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        total, terms = loss(*inputs)
    total.backward()
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert total.dtype == wide
    assert all(x.grad.dtype == dtype for x in inputs[:3])

    logits, features, scores = (x.detach().double() for x in inputs[:3])
    expected, expected_terms = loss.double()(logits, features, scores, *inputs[3:])
    close = {"rtol": 1e-5, "atol": 1e-6, "check_dtype": False}
    torch.testing.assert_close(total, expected, **close)
    torch.testing.assert_close(terms, expected_terms, **close)
    assert all(term.dtype == wide for term in terms.values())


@pytest.mark.parametrize(
    ("position", "shape", "message"),
    [
        (0, (8, K + 1), rf"logits \(B, {K}\).* got logits \(8, {K + 1}\)"),
        (0, (7, K), rf"logits of shape \(B, K\).* got logits \(7, {K}\) and pids \(8,\)"),
        (1, (8, D - 1), rf"features \(B, {D}\), got .* features \(8, {D - 1}\)"),
        (1, (8, D, 1), rf"got features \(8, {D}, 1\) and pids \(8,\)"),
        (2, (7, T), rf"attention_scores of shape \(B, T\).* got attention_scores \(7, {T}\)"),
        (4, (8, T + 1), rf"scores \(8, {T}\) and erased \(8, {T + 1}\)"),
    ],
)
def test_wrong_shapes_are_printed(position, shape, message):
    inputs = list(batch())
    inputs[position] = torch.zeros(shape)
    with pytest.raises(ValueError, match=message):
        Not3DLoss(K, D)(*inputs)


def test_labels_without_a_class_are_refused():
    logits, features, scores, pids, erased = batch()
    with pytest.raises(ValueError, match="from 0 to 4 for 5 classes, got pids from 1 to 5"):
        Not3DLoss(K, D)(logits, features, scores, pids + 1, erased)


@pytest.mark.parametrize("name", WEIGHTS)
def test_negative_weights_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be .* got -0.5"):
        Not3DLoss(K, D, **{name: -0.5})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label_smoothing": 1.5}, "label_smoothing must be from 0 to 1, got 1.5"),
        ({"center_reduction": "sum"}, "choose one of mean, half_sum"),
        ({"erasing_attention_reduction": "max"}, "choose one of mean, sum"),
        ({"label_smoothing_over": "clips"}, "is 'clips', expected one of identities, batch"),
        ({"alpha": -1.0}, "alpha must be .* got -1.0"),
        ({"metric_loss": "hinge"}, "metric_loss is 'hinge', expected one of ranked_list, triplet"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Not3DLoss(K, D, **settings)


def test_repr_tells_every_setting():
    text = repr(Not3DLoss(K, D, center_weight=0.25, margin=0.4, center_reduction="half_sum"))
    for part in ("center_weight=0.25", "margin=0.4", "'half_sum'", "label_smoothing=0.1"):
        assert part in text


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_step_does_not_wait_for_the_device():
    inputs = [x.detach().cuda() for x in batch(torch.float32)]
    inputs[1].requires_grad_()
    loss = Not3DLoss(K, D).cuda()
    loss(*inputs)[0].backward()  # the first step loads kernels
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss(*inputs)[0].backward()
    finally:
        torch.cuda.set_sync_debug_mode(before)
