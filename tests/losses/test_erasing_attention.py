"""Erasing-attention loss against a plain-loop oracle, a value by hand and odd batches."""

import pytest
import torch
from torch import Tensor

from nr3d.losses import ErasingAttentionLoss, erasing_attention_loss


def oracle(scores: Tensor, erased: Tensor) -> Tensor:
    total = scores.new_zeros(())
    for clip_scores, clip_erased in zip(scores, erased, strict=True):
        clip = scores.new_zeros(())
        for score, hit in zip(clip_scores, clip_erased, strict=True):
            if hit:
                clip = clip + score
        total = total + clip / len(clip_scores)
    return total / len(scores)


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    scores = torch.rand(6, 4, generator=generator, dtype=torch.float64)
    return scores.requires_grad_(), torch.rand(6, 4, generator=generator) < 0.5


def test_value_and_gradient_equal_the_loop():
    scores, erased = batch()
    loss, expected = ErasingAttentionLoss()(scores, erased), oracle(scores, erased)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        torch.autograd.grad(loss, scores), torch.autograd.grad(expected, scores)
    )


def test_value_worked_out_by_hand():
    # Clip 0: frames 1 and 3 erased, (2 + 4) / 4 = 1.5. Clip 1: frame 0 erased, 0.5 / 4 = 0.125.
    # Mean: 0.8125.
    scores = torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.5, 9.0, 9.0, 9.0]])
    erased = torch.tensor([[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
    assert ErasingAttentionLoss()(scores, erased).item() == 0.8125


def test_sum_over_the_frames_by_hand():
    # The batch above: 2 + 4 and 0.5, mean 3.25, which is T = 4 times the mean's 0.8125.
    scores = torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.5, 9.0, 9.0, 9.0]])
    erased = torch.tensor([[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
    assert ErasingAttentionLoss("sum")(scores, erased).item() == 3.25
    assert erasing_attention_loss(scores, erased, reduction="sum").item() == 4 * 0.8125
    assert repr(ErasingAttentionLoss("sum")) == "ErasingAttentionLoss(reduction='sum')"


def test_sum_is_the_number_of_frames_times_the_loop():
    scores, erased = batch()
    loss, expected = ErasingAttentionLoss("sum")(scores, erased), 4 * oracle(scores, erased)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        torch.autograd.grad(loss, scores), torch.autograd.grad(expected, scores)
    )


def test_unknown_reductions_are_refused():
    for refused in (
        lambda: ErasingAttentionLoss("max"),
        lambda: erasing_attention_loss(*batch(), reduction="max"),
    ):
        with pytest.raises(ValueError, match="unknown reduction 'max'; choose one of mean, sum"):
            refused()


def test_gradient_equals_finite_differences():
    scores, erased = batch()
    assert torch.autograd.gradcheck(lambda s: erasing_attention_loss(s, erased), scores)


def test_order_of_clips_and_of_frames_does_not_matter():
    scores, erased = batch()
    loss = ErasingAttentionLoss()(scores, erased)
    clips, frames = torch.tensor([3, 0, 5, 1, 4, 2]), torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(ErasingAttentionLoss()(scores[clips], erased[clips]), loss)
    torch.testing.assert_close(ErasingAttentionLoss()(scores[:, frames], erased[:, frames]), loss)


@pytest.mark.parametrize("shape", [(6, 4), (1, 4), (6, 1), (1, 1)], ids=str)
def test_no_erased_frame_is_zero_with_a_zero_gradient(shape):
    scores = torch.ones(shape, requires_grad=True)
    loss = ErasingAttentionLoss()(scores, torch.zeros(shape))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(scores.grad, torch.zeros(shape))


def test_batch_of_one():
    scores, erased = batch()
    torch.testing.assert_close(
        ErasingAttentionLoss()(scores[:1], erased[:1]), oracle(scores[:1], erased[:1])
    )


@pytest.mark.parametrize("flags", [torch.bool, torch.uint8, torch.long, torch.float32])
def test_flags_of_any_type(flags):
    scores, erased = batch()
    loss = ErasingAttentionLoss()(scores, erased.to(flags))
    assert loss.dtype == torch.float64
    torch.testing.assert_close(loss, oracle(scores, erased))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_types_give_the_value_of_the_same_numbers_in_full_precision(dtype, autocast):
    scores, erased = batch()
    # 1,536 flags and scores, whose sum would overflow float16 and drown in bfloat16.
    scores = (100 * scores.detach().repeat(64, 1)).to(dtype).requires_grad_()
    erased = erased.repeat(64, 1).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = ErasingAttentionLoss()(scores, erased)
    loss.backward()
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert scores.grad.dtype == dtype
    expected = (scores.detach().double() * erased.double()).sum() / scores.numel()
    torch.testing.assert_close(loss.detach().double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("scores", "erased"),
    [((4, 3), (4, 2)), ((4, 3), (3,)), ((4,), (4,)), ((4, 3, 1), (4, 3, 1)), ((0, 3), (0, 3))],
)
def test_wrong_shapes_are_printed(scores, erased):
    with pytest.raises(ValueError) as error:
        ErasingAttentionLoss()(torch.zeros(scores), torch.zeros(erased))
    assert f"scores {scores} and erased {erased}" in str(error.value)
