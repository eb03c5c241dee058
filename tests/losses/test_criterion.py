"""Criteria: the registry, and torchreid's own losses behind the engine's protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nr3d.config import KEYS
from nr3d.errors import RegistrationError
from nr3d.host import torchreid
from nr3d.losses import (
    CRITERIA,
    Criterion,
    Not3DLoss,
    SoftmaxCriterion,
    TripletCriterion,
    register_criterion,
)

K, D, B = 5, 6, 8


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    before = dict(CRITERIA)
    yield
    for name in CRITERIA.keys() - before.keys():
        CRITERIA.remove(name)


def batch(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, features and labels."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(B, K, generator=generator, requires_grad=True)
    features = torch.randn(B, D, generator=generator, requires_grad=True)
    return logits, features, torch.tensor([0, 0, 1, 1, 4, 4, 3, 3])


class Size(Criterion):
    model_loss = "softmax"

    def losses(
        self, outputs: tuple[Tensor, ...], batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        size = outputs[0].square().mean()
        return size, {"size": size.detach()}


def test_the_losses_are_registered_with_keys_that_exist() -> None:
    assert list(CRITERIA) == ["not3d", "softmax", "triplet", "vprt"]
    for name, kind in CRITERIA.items():
        assert kind.name == name
        assert set(kind.settings.values()) <= set(KEYS)


@pytest.mark.parametrize("name", ["not3d", "softmax", "triplet"])
def test_a_loss_is_built_by_the_keys_that_it_names(name: str) -> None:
    kind = CRITERIA[name]
    values = {argument: KEYS[key].default for argument, key in kind.settings.items()}
    built, plain = kind.configured(K, D, values), kind(K, D)
    assert repr(built) == repr(plain)  # the defaults of the two agree


def test_label_smoothing_is_turned_on_and_off() -> None:
    keys = {argument: KEYS[key].default for argument, key in Not3DLoss.settings.items()}
    on, off = (Not3DLoss.configured(K, D, keys | {"label_smooth": each}) for each in (True, False))
    assert isinstance(on, Not3DLoss) and isinstance(off, Not3DLoss)
    assert (on.label_smoothing, off.label_smoothing) == (0.1, 0.0)


def test_a_class_is_registered_once_and_under_one_name() -> None:
    assert register_criterion("size")(Size) is Size
    register_criterion("size")(Size)  # a module that is imported again
    assert CRITERIA["size"] is Size
    other = type("Other", (Size,), {})
    with pytest.raises(RegistrationError, match=r"registered loss 'size' .*Size"):
        register_criterion("size")(other)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (nn.CrossEntropyLoss, "expected a subclass of nr3d.losses.Criterion"),
        (type("Silent", (Criterion,), {}), "does not say which output of the model it needs"),
        (type("Keyed", (Size,), {"settings": {"a": "loss.a"}}), "is built with loss.a, expected"),
    ],
)
def test_what_is_no_criterion_is_not_registered(kind: Any, message: str) -> None:
    with pytest.raises(RegistrationError, match=message):
        register_criterion("mine")(kind)
    assert "mine" not in CRITERIA


def test_a_loss_with_parameters_has_to_say_how_they_learn() -> None:
    class Learnt(Size):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

    with pytest.raises(NotImplementedError, match="Learnt has parameters and no optimizer"):
        Learnt().optimizers(0.1)
    assert list(Learnt().states()) == ["criterion"]
    assert Size().states() == {} == Size().optimizers(0.1)


@pytest.mark.parametrize("smooth", [True, False])
def test_softmax_is_torchreids_cross_entropy(smooth: bool) -> None:
    logits, _, pids = batch()
    theirs = torchreid.losses.CrossEntropyLoss(K, use_gpu=False, label_smooth=smooth)(logits, pids)
    ours = SoftmaxCriterion(K, D, label_smooth=smooth)
    total, terms = ours.losses((logits,), {"pid": pids})
    assert torch.equal(total, theirs)
    assert list(terms) == ["id"]
    assert not terms["id"].requires_grad


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 2.0), (0.7, 0.3)])
def test_triplet_is_torchreids_weighted_sum(weights: tuple[float, float]) -> None:
    logits, features, pids = batch()
    weight_t, weight_x = weights
    triplet = torchreid.losses.TripletLoss(margin=0.8)(features, pids)
    identity = torchreid.losses.CrossEntropyLoss(K, use_gpu=False)(logits, pids)
    ours = TripletCriterion(K, D, margin=0.8, weight_t=weight_t, weight_x=weight_x)
    total, terms = ours.losses((logits, features), {"pid": pids})
    torch.testing.assert_close(total, weight_t * triplet + weight_x * identity)
    expected = {"triplet": triplet, "id": identity}
    used = [name for name, weight in zip(expected, weights, strict=True) if weight]
    assert list(terms) == used
    for name in used:
        torch.testing.assert_close(terms[name], expected[name].detach())
    assert ours.leaves_parameters_out == (weight_x == 0)


def test_what_triplet_cannot_compute_is_refused() -> None:
    with pytest.raises(ValueError, match=r"weight_t and loss.triplet.weight_x are both 0"):
        TripletCriterion(K, D, weight_t=0.0, weight_x=0.0)
    with pytest.raises(ValueError, match="margin must be a finite number of at least 0, got -1"):
        TripletCriterion(K, D, margin=-1.0)
    logits, features, _ = batch()
    with pytest.raises(ValueError, match="needs two identities in a batch, got 8 clips of one"):
        outputs = (logits, features)
        TripletCriterion(K, D).losses(outputs, {"pid": torch.zeros(B, dtype=torch.long)})


@pytest.mark.parametrize("weight", [5e-4, 0.25, 0.0])
def test_the_centers_step_does_not_carry_their_losss_weight(weight: float) -> None:
    logits, features, pids = batch()
    loss = Not3DLoss(K, D, center_weight=weight)
    (optimizer,) = loss.optimizers(0.5).values()
    centers = loss.center.centers.detach().clone()
    total, _ = loss.losses((logits, features, torch.rand(B, 4)), {"pid": pids})
    total.backward()
    optimizer.step()
    expected = centers.clone()
    if weight:
        for feature, pid in zip(features.detach(), pids, strict=True):
            expected[pid] += 0.5 * 2 * (feature - centers[pid]) / B
    torch.testing.assert_close(loss.center.centers.detach(), expected)


def test_without_erased_no_frame_was_erased() -> None:
    logits, features, pids = batch()
    loss, scores = Not3DLoss(K, D), torch.rand(B, 4)
    none, one = torch.zeros(B, 4), torch.ones(B, 4)
    without, _ = loss.losses((logits, features, scores), {"pid": pids})
    assert torch.equal(
        without, loss.losses((logits, features, scores), {"pid": pids, "erased": none})[0]
    )
    assert not torch.equal(
        without, loss.losses((logits, features, scores), {"pid": pids, "erased": one})[0]
    )
