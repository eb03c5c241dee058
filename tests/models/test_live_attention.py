"""The live attention: the published layers, with scores that keep their gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from nr3d.engine import scale_attention_lr
from nr3d.losses import Not3DLoss
from nr3d.models import LiveAttention, SpatialTemporalAttention, VideoReID


def by_loops(attention: SpatialTemporalAttention, maps: torch.Tensor) -> list[list[float]]:
    """Raw scores of each frame from the layers' own numbers, one sum after the other."""
    kernel, bias = attention.spatial.weight, attention.spatial.bias
    over_time, offset = attention.temporal.weight[0], attention.temporal.bias.item()
    found = []
    for clip in maps:
        seen = [
            [
                max(0.0, float((kernel[unit] * frame).sum() + bias[unit]))
                for unit in range(len(bias))
            ]
            for frame in clip
        ]
        scores = []
        for t in range(len(seen)):
            total = offset
            for step in (-1, 0, 1):
                if 0 <= t + step < len(seen):
                    pairs = zip(over_time[:, step + 1].tolist(), seen[t + step], strict=True)
                    total += sum(weight * value for weight, value in pairs)
            scores.append(total)
        found.append(scores)
    return found


def pair(channels: int = 4) -> tuple[SpatialTemporalAttention, LiveAttention]:
    """The published and the live form with the same parameters."""
    torch.manual_seed(0)
    paper = SpatialTemporalAttention(channels, hidden=5, map_size=(3, 2))
    live = LiveAttention(channels, hidden=5, map_size=(3, 2))
    torch.nn.init.constant_(paper.temporal.bias, -0.25)  # scores on both sides of 0
    live.load_state_dict(paper.state_dict())
    return paper, live


def test_scores_and_weights_equal_those_of_loops() -> None:
    _, live = pair()
    maps = torch.rand(2, 4, 4, 3, 2)
    found = live(maps)
    scores = torch.tensor(by_loops(live, maps))
    assert (scores < 0).any()
    assert torch.allclose(found.scores, scores, atol=1e-5)
    weights = scores.exp() / scores.exp().sum(1, keepdim=True)
    assert torch.allclose(found.weights, weights, atol=1e-5)
    pooled = maps.mean((3, 4))
    assert torch.allclose(found.features, (weights[..., None] * pooled).sum(1), atol=1e-5)


def test_the_published_form_is_the_live_one_above_zero() -> None:
    paper, live = pair()
    maps = torch.rand(2, 4, 4, 3, 2)
    assert torch.equal(paper(maps).scores, live(maps).scores.clamp_min(0))
    for attention in (paper, live):
        torch.nn.init.constant_(attention.temporal.bias, 100.0)
    assert torch.equal(paper(maps).weights, live(maps).weights)


def test_scores_far_below_zero_still_have_a_gradient() -> None:
    gradients = []
    for attention in pair():
        torch.nn.init.constant_(attention.temporal.bias, -100.0)
        found = attention(torch.rand(2, 4, 4, 3, 2))
        found.features.square().sum().backward()
        gradients.append(float(attention.spatial.weight.grad.abs().sum()))
    assert gradients[0] == 0 < gradients[1]


def model(aggregation: str) -> VideoReID:
    torch.manual_seed(0)
    return VideoReID(18, num_classes=3, loss="not3d", aggregation=aggregation)


def test_the_erasing_loss_is_on_the_weights_of_the_live_form() -> None:
    clips = torch.rand(4, 2, 3, 32, 16)
    live, paper = (model(name).train() for name in ("live_attention", "attention"))
    weights = live(clips)[2]
    assert torch.allclose(weights.sum(1), torch.ones(4))
    assert not torch.allclose(paper(clips)[2].sum(1), torch.ones(4))
    erased = torch.tensor([[1.0, 0.0]] * 4)
    outputs = live(clips)
    _, terms = Not3DLoss(3, 512)(*outputs, torch.tensor([0, 0, 1, 1]), erased)
    expected = float(outputs[2][:, 0].mean() / 2)
    assert terms["erasing_attention"].item() == pytest.approx(expected, rel=1e-5)


def test_an_aggregation_that_names_another_input_of_the_loss_is_refused() -> None:
    network = model("live_attention").train()
    network.aggregation.erasing_on = "features"
    told = "erasing_on of LiveAttention is 'features', expected 'scores' or 'weights'"
    with pytest.raises(ValueError, match=told):
        network(torch.rand(4, 2, 3, 32, 16))


def test_both_forms_have_the_same_tensors() -> None:
    shapes = [
        {name: tensor.shape for name, tensor in model(name).state_dict().items()}
        for name in ("live_attention", "attention")
    ]
    assert shapes[0] == shapes[1]
    assert model("attention").aggregation_with(SpatialTemporalAttention(8).state_dict()) == (
        "attention"
    )


@pytest.mark.parametrize("named", [False, True])
def test_the_attention_gets_a_rate_of_its_own(named: bool) -> None:
    network = model("live_attention")
    parameters = network.named_parameters() if named else network.parameters()
    optimizer = torch.optim.Adam(parameters, lr=0.5, weight_decay=0.125)
    scale_attention_lr(optimizer, network, 0.01)
    own, rest = optimizer.param_groups
    assert {id(p) for p in own["params"]} == {id(p) for p in network.aggregation.parameters()}
    assert len(own["params"]) + len(rest["params"]) == len(list(network.parameters()))
    assert (own["lr"], rest["lr"]) == (0.005, 0.5)
    assert own["weight_decay"] == rest["weight_decay"] == 0.125
    with pytest.raises(ValueError, match=r"factor is -1, expected at least 0"):
        scale_attention_lr(optimizer, network, -1)
    wrapped = torch.nn.Sequential()
    wrapped.module = network  # as DataParallel and DistributedDataParallel keep it
    scale_attention_lr(optimizer, wrapped, 10)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)


def test_each_group_of_staged_rates_is_split() -> None:
    network = model("live_attention")
    late = {id(p) for p in (*network.classifier.parameters(), network.aggregation.spatial.weight)}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in network.parameters() if id(p) not in late], "lr": 0.25},
        {"params": [p for p in network.parameters() if id(p) in late], "lr": 0.5},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.5)
    scale_attention_lr(optimizer, network, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.125, 0.25, 0.25, 0.5]
    attention = [*network.aggregation.parameters()]
    spatial = network.aggregation.spatial.weight
    own, of_late, _, last = (group["params"] for group in optimizer.param_groups)
    assert {id(p) for p in own} == {id(p) for p in attention} - {id(spatial)}
    assert len(of_late) == 1
    assert of_late[0] is spatial
    assert {id(p) for p in last} == late - {id(spatial)}


def test_a_mean_without_parameters_leaves_the_groups_alone() -> None:
    network = model("mean")
    optimizer = torch.optim.Adam(network.parameters(), lr=0.5)
    scale_attention_lr(optimizer, network, 0.01)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5]
