"""One training step: what goes into the loss, and which optimizers are stepped by what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from nr3d.engine import StepOptions, TrainingStep
from nr3d.features import Precision
from nr3d.losses import Criterion

CPU = torch.device("cpu")


class Network(nn.Module):
    """Logits of a clip's mean pixel; in training as one tensor or as logits and features."""

    def __init__(self, several: bool = False) -> None:
        super().__init__()
        self.several = several
        self.classifier = nn.Linear(3, 4, bias=False)
        with torch.no_grad():
            self.classifier.weight.copy_(torch.arange(12.0).view(4, 3) / 12)

    def forward(self, clips: Tensor) -> Any:
        features = clips.mean((1, 3, 4))  # (B, 3)
        logits = self.classifier(features)
        return (logits, features) if self.several else logits


class Shifted(Criterion):
    """The square of logits plus a learnt shift; remembers what it was given."""

    model_loss = "softmax"
    batch_extras = ("erased", "weather")

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(4))
        self.seen: list[tuple[tuple[Tensor, ...], Mapping[str, Tensor]]] = []

    def losses(
        self, outputs: tuple[Tensor, ...], batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        self.seen.append((outputs, batch))
        loss = (outputs[0] + self.shift).square().sum(1).mean()
        return loss, {"square": loss.detach()}

    def optimizers(self, lr: float) -> dict[str, Optimizer]:
        return {"shift_optimizer": SGD([self.shift], lr=lr)}


def batch(seed: int = 0) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    clips = torch.rand(6, 2, 3, 4, 4, generator=generator)
    pids = torch.tensor([0, 0, 1, 1, 2, 3])
    return {"img": clips, "pid": pids, "erased": torch.ones(6, 2), "camid": pids, "tracklet": ["a"]}


def step_of(
    precision: str = "float32", every: int = 1, several: bool = False
) -> tuple[TrainingStep, Shifted]:
    network, criterion = Network(several), Shifted()
    optimizer = SGD(network.parameters(), lr=0.1)
    own = list(criterion.optimizers(0.5).values())
    options = StepOptions(precision, accumulation_steps=every)
    step = TrainingStep(network, criterion, optimizer, own, Precision(precision, CPU), options)
    return step, criterion


def gradients(batches: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
    """Of the mean loss of some batches: by the classifier, and by the shift."""
    network, criterion = Network(), Shifted()
    losses = [criterion.losses((network(data["img"]),), data)[0] for data in batches]
    torch.stack(losses).mean().backward()
    assert network.classifier.weight.grad is not None and criterion.shift.grad is not None
    return network.classifier.weight.grad, criterion.shift.grad


def test_a_step_steps_the_model_and_what_the_loss_learns() -> None:
    step, criterion = step_of()
    data = batch()
    found = step(data, 0, 1)
    of_model, of_shift = gradients([data])
    start = Network().classifier.weight.detach()
    weight: Any = step.model.classifier.weight  # type: ignore[union-attr]
    torch.testing.assert_close(weight.detach(), start - 0.1 * of_model)
    torch.testing.assert_close(criterion.shift.detach(), -0.5 * of_shift)
    assert list(found) == ["loss", "loss_square", "acc"]
    right = (Network()(data["img"]).argmax(1) == data["pid"]).float().mean()
    assert found["acc"] == pytest.approx(100 * right.item())


def test_the_loss_gets_what_it_names_and_no_more() -> None:
    step, criterion = step_of()
    step(batch(), 0, 1)
    outputs, given = criterion.seen[0]
    assert len(outputs) == 1  # a tensor alone is one output
    assert list(given) == ["pid", "erased"]  # of weather the data knows nothing
    step, criterion = step_of(several=True)
    step(batch(), 0, 1)
    assert [output.shape for output in criterion.seen[0][0]] == [(6, 4), (6, 3)]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_the_loss_is_computed_in_float32(precision: str) -> None:
    step, criterion = step_of(precision)
    seen: list[torch.dtype] = []
    step.model.register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    step(batch(), 0, 1)
    assert seen == [step.precision.dtype]
    assert criterion.seen[0][0][0].dtype == torch.float32


def test_fp16s_scale_is_taken_out_of_every_gradient() -> None:
    step, criterion = step_of("fp16")
    assert step.precision.scaler.get_scale() > 1000
    step(batch(), 0, 1)
    _, of_shift = gradients([batch()])
    torch.testing.assert_close(criterion.shift.detach(), -0.5 * of_shift, rtol=1e-2, atol=1e-3)


def test_accumulated_batches_make_one_step_of_their_mean() -> None:
    step, criterion = step_of(every=2)
    batches = [batch(0), batch(1), batch(2)]
    step(batches[0], 0, 3)
    assert not criterion.shift.any()
    step(batches[1], 1, 3)
    _, of_shift = gradients(batches[:2])
    torch.testing.assert_close(criterion.shift.detach(), -0.5 * of_shift)
    before = criterion.shift.detach().clone()
    step(batches[2], 2, 3)  # what is left of the epoch makes a step of its own
    assert not torch.equal(before, criterion.shift.detach())


def test_a_loss_that_is_not_finite_steps_nothing() -> None:
    step, criterion = step_of()
    data = batch()
    data["img"][0] = float("inf")
    assert not torch.tensor(step(data, 0, 1)["loss"]).isfinite()
    weight: Any = step.model.classifier.weight  # type: ignore[union-attr]
    assert torch.equal(weight, Network().classifier.weight)
    assert not criterion.shift.any()


def test_a_loss_that_learns_nothing_now_is_not_stepped() -> None:
    step, criterion = step_of("fp16")
    criterion.shift.requires_grad_(False)
    step(batch(), 0, 1)
    assert not criterion.shift.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accumulation_steps": 0}, "accumulation_steps is 0, expected 1 or more"),
        ({"checkpoint_steps": -1}, "checkpoint_steps is -1, expected 0 or more"),
    ],
)
def test_counts_out_of_their_range_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StepOptions(**options)  # type: ignore[arg-type]
