"""Every model, in every mode, through torchreid."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nr3d.host import torchreid
from nr3d.models import (
    ARCHITECTURES,
    LOSSES,
    FrameTrunk,
    MeanAggregation,
    SpatialTemporalAttention,
    VideoReID,
)

WIDTH = {18: 512, 34: 512, 50: 2048, 101: 2048}


def build(name: str, **options: object) -> VideoReID:
    model: VideoReID = torchreid.models.build_model(name, pretrained=False, **options)
    return model


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parameter_count_at_marss_identities(name: str) -> None:
    model = build(name)
    assert sum(p.numel() for p in model.parameters()) == ARCHITECTURES[name].parameters
    assert model.classifier.out_features == 625


def test_the_papers_network_has_the_papers_size_part_by_part() -> None:
    model = build("nr3d_resnet50_ibn")
    sizes = {
        name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()
    }
    assert sizes == {
        "backbone": 23_508_032,
        "aggregation": 51_380_480 + 769,
        "bottleneck": 4_096,
        "classifier": 1_280_000,
    }
    assert sum(sizes.values()) == 76_173_377


SIZES = {"gltr": 512, "m3d": 512, "scan_self": 128, "group_confidence": 1536}
"""D of the networks for which it is not C."""


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("dims", [4, 5])
def test_outputs_of_each_mode(name: str, dims: int) -> None:
    family = name.rpartition("_resnet")[0]
    width = SIZES.get(family, WIDTH[ARCHITECTURES[name].trunk_options["depth"]])
    shape = (3, 2, 3, 64, 32) if dims == 5 else (3, 3, 64, 32)
    clips, frames = torch.rand(shape), shape[1] if dims == 5 else 1
    expected = {
        "softmax": [(3, 7)],
        "triplet": [(3, 7), (3, width)],
        "not3d": [(3, 7), (3, width), (3, frames)],
    }
    assert set(expected) == set(LOSSES)
    model = build(name, num_classes=7, frames=2, frame_size=(64, 32))
    assert model.feature_dim == width
    if family == "cosam" and dims == 4:
        with pytest.raises(ValueError, match=r"clips have 1 frames .*, expected 2 frames"):
            model(clips)
        return
    for loss, shapes in expected.items():
        model.loss = loss
        model.train()
        outputs = model(clips)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        assert [tuple(output.shape) for output in outputs] == shapes
        model.eval()
        with torch.no_grad():
            assert model(clips).shape == (3, width)


def test_an_image_is_a_clip_of_one_frame() -> None:
    model = build("nr3d_resnet18_ibn", num_classes=3).eval()
    images = torch.rand(2, 3, 64, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(images), model(images[:, None]))


def test_clips_do_not_see_each_other() -> None:
    model = build("nr3d_resnet18_ibn", num_classes=3).eval()
    clips = torch.rand(3, 4, 3, 64, 32)
    with torch.no_grad():
        alone = torch.cat([model(clip[None]) for clip in clips])
        torch.testing.assert_close(model(clips), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(224, 112), (256, 128), (64, 32), (50, 38)])
def test_any_input_size(size: tuple[int, int]) -> None:
    model = build("nr3d_resnet18_ibn", num_classes=3).eval()
    with torch.no_grad():
        features, scores, weights = model.embed(torch.rand(1, 2, 3, *size))
    assert features.shape == (1, 512)
    assert bool((scores >= 0).all())
    torch.testing.assert_close(weights.sum(1), torch.ones(1))


def test_last_stage_keeps_its_resolution() -> None:
    for depth in (18, 50):
        maps = FrameTrunk(depth)(torch.rand(1, 3, 224, 112))
        assert maps.shape == (1, WIDTH[depth], 14, 7)


def test_ibn_is_in_the_first_norm_of_stages_one_to_three() -> None:
    keys = set(build("nr3d_resnet50_ibn").state_dict())
    blocks = {1: 3, 2: 4, 3: 6, 4: 3}
    for stage, count in blocks.items():
        for block in range(count):
            norm = f"backbone.layer{stage}.{block}.bn1"
            assert (f"{norm}.IN.weight" in keys) == (stage < 4)
            assert (f"{norm}.BN.running_mean" in keys) == (stage < 4)
            assert (f"{norm}.weight" in keys) == (stage == 4)
    plain = set(build("nr3d_resnet50").state_dict())
    assert not any(".IN." in key for key in plain)


def test_state_dict_has_torchvisions_names_under_the_backbone() -> None:
    import torchvision

    theirs = {k for k in torchvision.models.resnet50().state_dict() if not k.startswith("fc.")}
    ours = {k.removeprefix("backbone.") for k in build("nr3d_resnet50").state_dict()}
    assert theirs < ours
    assert ours - theirs == {
        "aggregation.spatial.weight",
        "aggregation.spatial.bias",
        "aggregation.temporal.weight",
        "aggregation.temporal.bias",
        "bottleneck.weight",
        "bottleneck.bias",
        "bottleneck.running_mean",
        "bottleneck.running_var",
        "bottleneck.num_batches_tracked",
        "classifier.weight",
    }


def test_trunk_equals_torchvisions_but_for_the_last_stride() -> None:
    import torchvision

    torch.manual_seed(0)
    reference = torchvision.models.resnet50().eval()
    reference.layer4[0].conv2.stride = (1, 1)
    reference.layer4[0].downsample[0].stride = (1, 1)
    trunk = FrameTrunk(50, ibn=False).eval()
    trunk.load_state_dict(reference.state_dict(), strict=False)
    reference.avgpool = reference.fc = nn.Identity()
    images = torch.rand(2, 3, 64, 32)
    with torch.no_grad():
        torch.testing.assert_close(trunk(images).flatten(1), reference(images))


def attention_by_loops(layer: SpatialTemporalAttention, maps: torch.Tensor) -> list[torch.Tensor]:
    """The design's equations, clip by clip and frame by frame."""
    features, all_scores, all_weights = [], [], []
    for clip in maps:
        hidden = []
        for frame in clip:
            total = (layer.spatial.weight * frame).sum(dim=(1, 2, 3)) + layer.spatial.bias
            hidden.append(total.clamp(min=0))
        zero = torch.zeros_like(hidden[0])
        padded = [zero, *hidden, zero]
        scores = []
        for t in range(len(hidden)):
            window = torch.stack(padded[t : t + 3], dim=1)  # (256, 3)
            value = (layer.temporal.weight[0] * window).sum() + layer.temporal.bias[0]
            scores.append(value.clamp(min=0))
        exps = [score.exp() for score in scores]
        weights = [e / sum(exps) for e in exps]
        features.append(sum(w * f.mean(dim=(1, 2)) for w, f in zip(weights, clip, strict=True)))
        all_scores.append(torch.stack(scores))
        all_weights.append(torch.stack(weights))
    return [torch.stack(part) for part in (features, all_scores, all_weights)]


def test_attention_matches_its_loop_oracle() -> None:
    torch.manual_seed(1)
    layer = SpatialTemporalAttention(6, hidden=5, map_size=(3, 2)).double()
    nn.init.normal_(layer.temporal.weight)
    nn.init.normal_(layer.spatial.weight)
    maps = torch.rand(3, 4, 6, 3, 2, dtype=torch.float64)
    outputs = layer(maps)
    for got, expected in zip(outputs, attention_by_loops(layer, maps), strict=True):
        torch.testing.assert_close(got, expected)
    assert bool((outputs.scores > 0).any()), "a dead attention would make this test idle"


def test_attention_pools_another_map_to_its_own_size() -> None:
    layer = SpatialTemporalAttention(6, map_size=(4, 2)).eval()
    coarse = torch.rand(1, 3, 6, 4, 2)
    fine = coarse.repeat_interleave(2, dim=3).repeat_interleave(3, dim=4)
    with torch.no_grad():
        torch.testing.assert_close(layer(fine).scores, layer(coarse).scores)


@pytest.mark.parametrize("size", [(2, 3), (1, 1), (4, 2), (5, 3), (9, 9), (4, 5)])
def test_attention_sees_any_map_as_if_it_were_pooled_first(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = SpatialTemporalAttention(6, hidden=5, map_size=(5, 3)).double()
    maps = torch.rand(4, 6, *size, dtype=torch.float64, requires_grad=True)
    pooled = layer.spatial(nn.functional.adaptive_avg_pool2d(maps, (5, 3)))
    torch.testing.assert_close(layer.see(maps), pooled)
    inputs = (maps, layer.spatial.weight, layer.spatial.bias)
    expected = torch.autograd.grad(pooled.square().sum(), inputs)
    for got, wanted in zip(
        torch.autograd.grad(layer.see(maps).square().sum(), inputs), expected, strict=True
    ):
        torch.testing.assert_close(got, wanted)


def test_attention_can_start_from_kaimings_draw() -> None:
    """Both layers have the standard deviation sqrt(2 / inputs of an output), and biases of 0."""
    torch.manual_seed(0)
    model = build("nr3d_resnet18_ibn", attention_init="kaiming")
    layers = model.aggregation.get_submodule("spatial"), model.aggregation.get_submodule("temporal")
    # 512 channels over 14×7, and 256 over three time steps.
    for layer, inputs in zip(layers, (512 * 14 * 7, 256 * 3), strict=True):
        weight = layer.weight.detach()
        close = 3 / math.sqrt(2 * weight.numel())  # three standard deviations of the estimate
        assert weight.std().item() == pytest.approx(math.sqrt(2 / inputs), rel=close)
        # A normal distribution, and not PyTorch's uniform one, which ends at 1.73 of its own.
        assert weight.abs().max() > 2.2 * weight.std()
        assert not layer.bias.any()
    torch.manual_seed(0)
    usual = build("nr3d_resnet18_ibn")
    assert usual.aggregation.get_submodule("spatial").bias.any()
    # What is drawn before the attention is the same.
    assert torch.equal(usual.backbone.conv1.weight, model.backbone.conv1.weight)


def test_an_aggregation_without_layers_has_nothing_to_initialise() -> None:
    torch.manual_seed(0)
    one = build("nr3d_resnet18_ibn", aggregation="mean", attention_init="kaiming").state_dict()
    torch.manual_seed(0)
    other = build("nr3d_resnet18_ibn", aggregation="mean").state_dict()
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_mean_aggregation_by_hand() -> None:
    maps = torch.arange(8.0).view(1, 2, 2, 2, 1)  # frame 0: channels (0.5, 2.5); 1: (4.5, 6.5)
    features, scores, weights = MeanAggregation(2)(maps)
    assert features.tolist() == [[2.5, 4.5]]
    assert scores.tolist() == [[0.0, 0.0]]
    assert weights.tolist() == [[0.5, 0.5]]


def test_golden_features_from_formula_filled_weights() -> None:
    """Numbers from an earlier run of this code: a change of them must be meant."""
    model = VideoReID(18, num_classes=3).eval()
    with torch.no_grad():
        for position, tensor in enumerate(model.state_dict().values()):
            if tensor.is_floating_point():
                index = torch.arange(tensor.numel(), dtype=torch.float64)
                wave = torch.sin(index * (0.37 + 0.01 * position)).view(tensor.shape)
                scale = 0.9 / max(1, tensor[0].numel()) ** 0.5 if tensor.dim() > 1 else 0.1
                base = 0.0 if tensor.dim() > 1 else 0.6
                tensor.copy_(base + scale * wave)
        pixels = torch.arange(2 * 3 * 64 * 32, dtype=torch.float64)
        clip = torch.cos(pixels * 0.011).float().view(1, 2, 3, 64, 32)
        features, scores, _ = model.embed(clip)
    torch.testing.assert_close(features[0, :6].tolist(), GOLDEN_FEATURES, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(scores[0].tolist(), GOLDEN_SCORES, rtol=1e-3, atol=1e-4)


GOLDEN_FEATURES = [0.441775, 0.401407, 0.448689, 0.445098, 0.488731, 0.364022]
GOLDEN_SCORES = [0.604510, 0.597297]


def test_neck_bias_is_never_trained_even_if_torchreid_opens_all_layers() -> None:
    model = build("nr3d_resnet18_ibn", num_classes=3, loss="softmax")
    torchreid.utils.open_all_layers(model)
    assert model.bottleneck.bias.requires_grad  # torchreid did open it
    optimizer = torch.optim.Adam(model.parameters(), weight_decay=0.1)
    model(torch.rand(4, 3, 64, 32)).logsumexp(1).sum().backward()
    optimizer.step()
    assert not bool(model.bottleneck.bias.any())
    assert model.bottleneck.bias.grad is None
    assert int(model.bottleneck.num_batches_tracked) == 1


def test_neck_equals_batch_norm() -> None:
    from nr3d.models import BottleneckNorm

    torch.manual_seed(0)
    ours, theirs = BottleneckNorm(5), nn.BatchNorm1d(5)
    for _ in range(3):
        x = torch.randn(6, 5) * 3 + 1
        torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))
    assert ours.state_dict().keys() == theirs.state_dict().keys()


def test_classifier_starts_as_the_recipe_says() -> None:
    weight = build("nr3d_resnet18_ibn").classifier.weight
    assert weight.std().item() == pytest.approx(0.001, rel=0.02)


@pytest.mark.parametrize("option", ["loss", "aggregation", "attention_init"])
def test_unknown_choice_is_a_key_error_that_names_the_choices(option: str) -> None:
    with pytest.raises(
        KeyError, match=r"'nonsense'.*(softmax.*not3d|attention.*mean|default.*kaiming)"
    ):
        build("nr3d_resnet18_ibn", **{option: "nonsense"})


@pytest.mark.parametrize("shape", [(3, 64, 32), (1, 2, 4, 64, 32), (1, 1, 2, 3, 64, 32)])
def test_another_input_shape_is_refused_with_the_shape(shape: tuple[int, ...]) -> None:
    model = build("nr3d_resnet18_ibn", num_classes=3)
    with pytest.raises(ValueError, match=str(shape).replace("(", r"\(").replace(")", r"\)")):
        model(torch.rand(shape))


def test_unknown_depth_is_refused() -> None:
    with pytest.raises(ValueError, match=r"depth is 77, expected one of \[18, 34, 50, 101\]"):
        FrameTrunk(77)


def test_torchreids_tools_drive_the_model() -> None:
    model = build("nr3d_resnet50_ibn", num_classes=5)
    parameters, flops = torchreid.utils.compute_model_complexity(model, (1, 3, 224, 112))
    assert flops == 3_154_666_497  # multiply-adds of a frame
    assert parameters == 74_893_377  # those of the layers used at test time


def test_torchreids_feature_extractor_takes_the_model(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build("nr3d_resnet18_ibn", num_classes=4).eval()
    path = tmp_path / "weights.pth.tar"
    torch.save({"state_dict": model.state_dict()}, path)
    extractor = torchreid.utils.FeatureExtractor(
        "nr3d_resnet18_ibn", str(path), image_size=(64, 32), device="cpu", verbose=False
    )
    images = [np.full((64, 32, 3), value, np.uint8) for value in (30, 200)]
    with torch.no_grad():
        expected = model(torch.stack([extractor.preprocess(extractor.to_pil(i)) for i in images]))
    torch.testing.assert_close(extractor(images), expected)
