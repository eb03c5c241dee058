"""Folded networks give what the whole ones give."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from nr3d.host import torchreid
from nr3d.models import ARCHITECTURES, BottleneckNorm, VideoReID, folded, synchronise_norms


def stir(model: nn.Module) -> nn.Module:
    """Give every norm moments and parameters that are not those of the start."""
    torch.manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (_BatchNorm, nn.InstanceNorm2d)):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
                if module.running_mean is not None:
                    module.running_mean.normal_(0, 0.2)
                    module.running_var.uniform_(0.5, 2)
    return model.eval()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_folded_network_gives_the_same_features(name: str) -> None:
    size = {"frames": 2, "frame_size": (64, 32)}
    model = torchreid.models.build_model(name, 4, pretrained=False, use_gpu=False, **size)
    stir(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    clips = torch.rand(1, 2, 3, 64, 32)
    with torch.inference_mode():
        expected, found = model(clips), folded(model)(clips)
    scale = expected.abs().max()
    torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=1e-5)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("ibn", [True, False])
def test_no_batch_norm_is_left_in_the_trunk(ibn: bool) -> None:
    left = [m for m in folded(VideoReID(18, 4, ibn=ibn)).modules() if isinstance(m, _BatchNorm)]
    assert [type(norm) for norm in left] == [BottleneckNorm]


def test_synchronised_norms_fold_too() -> None:
    model = VideoReID(18, 4)
    synchronise_norms(model)
    stir(model)
    clips = torch.rand(1, 2, 3, 64, 32)
    with torch.inference_mode():
        expected, found = model(clips), folded(model)(clips)
    scale = expected.abs().max()
    torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=1e-5)


def test_norms_that_are_listened_to_or_not_known_stay() -> None:
    class Halved(nn.BatchNorm2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) / 2

    model = VideoReID(18, 4)
    stir(model)
    trunk, seen = model.backbone, []
    trunk.layer4[0].bn1 = stir(Halved(512))
    trunk.layer4[0].bn2 = nn.BatchNorm2d(512, track_running_stats=False).eval()
    trunk.layer2[0].bn2.register_forward_hook(lambda *_: seen.append("norm"))
    trunk.layer2[0].bn1.BN.register_forward_hook(lambda *_: seen.append("half"))
    trunk.layer3[0].conv2.register_forward_hook(lambda _, __, output: 2 * output)
    clips = torch.rand(1, 2, 3, 64, 32)
    with torch.inference_mode():
        expected, found = model(clips), folded(model)(clips)
    scale = expected.abs().max()
    torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=1e-5)
    assert sorted(seen) == ["half", "half", "norm", "norm"]


def test_a_compiled_trunk_folds_to_a_plain_one() -> None:
    model = VideoReID(18, 4)
    stir(model)
    model.backbone.compile(backend="eager")
    plain = folded(model)
    assert plain.backbone._compiled_call_impl is None
    clips = torch.rand(1, 2, 3, 64, 32)
    with torch.inference_mode():
        torch.testing.assert_close(plain(clips), folded(plain)(clips))
