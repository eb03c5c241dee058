"""Normalisation in one go, against the split, copied and joined form and torch's own norms."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from nr3d.host import torchreid
from nr3d.models import (
    IBN,
    BottleneckNorm,
    SyncedBatchNorm,
    VideoReID,
    normalise,
    synchronise_norms,
)


class Joined(nn.Module):
    """The usual form of IBN, with the norms of ours."""

    def __init__(self, ibn: IBN) -> None:
        super().__init__()
        self.IN, self.BN = ibn.IN, ibn.BN

    def forward(self, x: Tensor) -> Tensor:
        parts = torch.split(x, [self.IN.num_features, self.BN.num_features], dim=1)
        return torch.cat([self.IN(parts[0].contiguous()), self.BN(parts[1].contiguous())], dim=1)


def pair(channels: int = 10, dtype: torch.dtype = torch.float32) -> tuple[IBN, Joined]:
    """Ours and the usual form, alike in every number and with running moments of their own."""
    torch.manual_seed(0)
    ours, other = IBN(channels), IBN(channels)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.uniform_(-1.5, 1.5)
    other.load_state_dict(ours.state_dict())
    return ours.to(dtype), Joined(other.to(dtype))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("mean", [0.0, 50.0, -1000.0])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_it_is_the_usual_form_and_its_gradients(
    training: bool, mean: float, layout: torch.memory_format
) -> None:
    ours, usual = pair()
    exact = pair(dtype=torch.float64)[1]
    x = (torch.randn(6, 10, 7, 5) * torch.rand(10, 1, 1) + mean).contiguous(memory_format=layout)
    grad = torch.randn_like(x)
    found = []
    for module, dtype in ((ours, x.dtype), (usual, x.dtype), (exact, torch.float64)):
        module.train(training)
        given = x.detach().to(dtype, copy=True).requires_grad_()
        output = module(given)
        output.backward(grad.to(dtype))
        assert given.grad is not None
        if module is ours:
            assert output.is_contiguous(memory_format=layout)
            assert given.grad.is_contiguous(memory_format=layout)
        found.append(
            [output, given.grad, *(p.grad for p in module.parameters()), *module.buffers()]
        )
    for one, other, truth in zip(*found, strict=True):
        # Both are float32's roundings of the same; ours is no further from it than theirs.
        allowed = 5 * (other - truth).abs().max() + 2e-6 * truth.abs().max()
        assert (one - truth).abs().max() <= allowed


def test_running_moments_follow_over_several_steps() -> None:
    ours, usual = pair()
    for step in range(4):
        x = torch.randn(3, 10, 4, 4, generator=torch.Generator().manual_seed(step)) + step
        ours(x)
        usual(x)
    for one, other in zip(ours.buffers(), usual.buffers(), strict=True):
        torch.testing.assert_close(one, other)


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(1)
    x = torch.randn(3, 5, 3, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(5, dtype=torch.float64, requires_grad=True)

    def output(*inputs: Tensor) -> Tensor:
        return normalise(*inputs, instance_channels=2).output

    assert torch.autograd.gradcheck(output, (x, weight, bias))


@pytest.mark.parametrize("mean", [0.0, 20.0])
def test_bf16_is_as_close_as_its_digits_allow(mean: float) -> None:
    ours, usual = pair(64)
    x = (torch.randn(4, 64, 14, 7) + mean).bfloat16()
    grad = torch.randn_like(x)
    found = []
    for module, given in ((ours, x.clone()), (usual, x.float())):
        given.requires_grad_()
        output = module(given)
        assert output.dtype == given.dtype
        output.backward(grad.to(given.dtype))
        assert given.grad is not None
        found.append((output.float(), given.grad.float()))
    for one, other in zip(*found, strict=True):
        assert (one - other).abs().max() < 0.03 * other.abs().max()
        assert (one - other).norm() < 0.008 * other.norm()


@pytest.mark.parametrize("size", [1e-3, 1.0, 3000.0])
def test_fp16_overflows_in_no_square(size: float) -> None:
    ours, usual = pair(16)
    x = (size * torch.randn(4, 16, 14, 7)).half()
    grad = torch.randn(x.shape) * (1000 if size > 1 else 1)
    found = []
    for module, given in ((ours, x.clone()), (usual, x.float())):
        given.requires_grad_()
        output = module(given)
        output.backward(grad.to(given.dtype))
        assert given.grad is not None
        parameters = [p.grad for p in module.parameters()]
        found.append([output.float(), given.grad.float(), *parameters, *module.buffers()])
    for one, other in zip(*found, strict=True):
        assert (one - other).abs().max() <= 0.02 * other.abs().max()


def test_a_single_value_per_channel_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(1, 4, 1, 1\), expected more than one value"):
        normalise(torch.rand(1, 4, 1, 1), torch.ones(4), torch.zeros(4))


@pytest.mark.parametrize("shape", [(6, 8, 5, 3), (6, 8)])
def test_synced_norm_alone_is_torchs(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    plain = nn.BatchNorm1d(8) if len(shape) == 2 else nn.BatchNorm2d(8)
    with torch.no_grad():
        plain.weight.uniform_(0.5, 1.5)
        plain.bias.uniform_(-1, 1)
    synced = SyncedBatchNorm(nn.BatchNorm2d(8))
    synced.load_state_dict(plain.state_dict())
    x = torch.randn(shape) * 3 + 2
    for training in (True, False):
        plain.train(training)
        synced.train(training)
        torch.testing.assert_close(synced(x), plain(x), rtol=1e-5, atol=1e-5)
        for one, other in zip(synced.buffers(), plain.buffers(), strict=True):
            torch.testing.assert_close(one, other)


def test_synchronising_keeps_the_keys_and_every_parameter() -> None:
    model = VideoReID(depth=18, num_classes=3, loss="not3d")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    parameters = dict(model.named_parameters())
    synchronise_norms(model)
    assert isinstance(model.backbone.layer1[0].bn2, SyncedBatchNorm)
    assert model.backbone.layer1[0].bn1.across
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    after = dict(model.named_parameters())
    assert all(after[name] is parameter for name, parameter in parameters.items())


def test_synchronised_norms_that_torchreid_freezes_stay_as_they_are() -> None:
    """torchreid freezes a part by its parameters and by eval mode, and opens all for training."""
    torch.manual_seed(0)
    model = VideoReID(depth=18, num_classes=3, loss="not3d")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    synchronise_norms(model)

    def changed_by_steps() -> set[str]:
        before = {name: value.clone() for name, value in model.state_dict().items()}
        for _ in range(2):
            optimizer.zero_grad()
            logits, features, scores = model(torch.rand(4, 2, 3, 32, 16))
            (logits.square().mean() + (features - 1).square().mean() + scores.mean()).backward()
            optimizer.step()
        after = model.state_dict()
        return {name for name, value in before.items() if not torch.equal(value, after[name])}

    torchreid.utils.open_specified_layers(model, ["classifier"])
    assert changed_by_steps() == {"classifier.weight"}
    torchreid.utils.open_all_layers(model)
    changed = changed_by_steps()
    norms = {name for name in model.state_dict() if ".bn2." in name or "bottleneck" in name}
    assert norms - changed == {"bottleneck.bias"}


def test_a_synchronised_neck_keeps_its_bias_though_every_parameter_is_opened() -> None:
    torch.manual_seed(0)
    model = VideoReID(depth=18, num_classes=3, loss="not3d")
    plain = copy.deepcopy(model)
    synchronise_norms(model)
    features = torch.rand(6, 512) + 1
    found = []
    for network in (model, plain):
        assert isinstance(network.bottleneck, BottleneckNorm)
        torchreid.utils.open_all_layers(network)  # as torchreid's engines do in each epoch
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            normed = network.bottleneck(features)
            ((normed - 0.5).square().mean() + network.classifier(normed).mean()).backward()
            optimizer.step()
        assert not network.bottleneck.bias.any()
        assert not torch.equal(network.bottleneck.weight, torch.ones(512))
        found.append([normed, network.bottleneck.weight, *network.bottleneck.buffers()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_synced_norm_is_all_that_the_norm_was() -> None:
    seen = []
    norm = nn.BatchNorm2d(4, eps=0.1, momentum=None).double().eval()
    norm.register_forward_hook(lambda *_: seen.append("after"))
    norm.register_forward_pre_hook(lambda *_: seen.append("before"))
    synced = SyncedBatchNorm(norm)
    assert (synced.eps, synced.momentum, synced.training) == (0.1, None, False)
    assert synced.running_mean is norm.running_mean
    assert synced(torch.rand(2, 4, 3, 3, dtype=torch.float64)).dtype == torch.float64
    assert seen == ["before", "after"]


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        (nn.BatchNorm1d(4, affine=False), (3, 4)),
        (nn.BatchNorm1d(4), (3, 4, 5)),
        (nn.BatchNorm2d(4, track_running_stats=False), (3, 4, 5, 2)),
        (nn.BatchNorm2d(4, momentum=None), (3, 4, 5, 2)),
        (nn.BatchNorm3d(4, momentum=0.3), (3, 4, 5, 2, 3)),
    ],
)
def test_synced_norms_of_each_kind_alone_are_torchs(
    norm: nn.Module, shape: tuple[int, ...]
) -> None:
    plain = copy.deepcopy(norm)
    holder = nn.Sequential(copy.deepcopy(norm))
    synchronise_norms(holder)
    torch.manual_seed(0)
    for training in (True, True, False):
        x = torch.randn(shape) * 3 + 2
        plain.train(training)
        holder.train(training)
        torch.testing.assert_close(holder(x), plain(x), rtol=1e-5, atol=1e-5)
    for one, other in zip(holder.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_norm_of_another_class_is_not_replaced_by_what_it_is_not() -> None:
    class Halved(nn.BatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) / 2

    with pytest.raises(ValueError, match="Halved is a batch norm of its own"):
        synchronise_norms(nn.Sequential(Halved(4)))
    theirs = nn.Sequential(nn.SyncBatchNorm(4))
    synchronise_norms(theirs)
    assert type(theirs[0]) is nn.SyncBatchNorm


def test_the_neck_averages_all_batches_without_a_momentum() -> None:
    neck, plain = BottleneckNorm(4), nn.BatchNorm1d(4, momentum=None)
    neck.momentum = None
    for step in range(3):
        x = torch.randn(5, 4, generator=torch.Generator().manual_seed(step)) + step
        neck(x)
        plain(x)
    for one, other in zip(neck.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(one, other)
