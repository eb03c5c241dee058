"""The parts of published methods: each against loops over its formula, and its start."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nr3d.models import AGGREGATIONS, VideoReID, build_aggregation
from nr3d.models.layers.co_segmentation import CoSegmentation
from nr3d.models.layers.dilated_over_time import DilatedOverTime
from nr3d.models.layers.non_local_block import NonLocalBlock
from nr3d.models.trunks import CoSegmentationTrunk, FrameTrunk, M3DTrunk, NonLocalTrunk

B, T = 2, 4


def drawn(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter and every running moment a value of its own."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
        elif value.is_floating_point():
            size = value[0].numel() ** -0.5 if value.dim() > 1 else 0.3
            value.copy_(size * torch.randn(value.shape, generator=generator))
    return module.eval()


def normed(norm: nn.Module, x: Tensor) -> Tensor:
    """A batch norm outside of training, of the channels in the last dimension."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return (x - norm.running_mean) * scale + norm.bias


def flat(layer: nn.Module) -> Tensor:
    return layer.weight.flatten(1)  # a 1x1 convolution as a matrix


def non_local_by_loops(block: NonLocalBlock, x: Tensor) -> Tensor:
    out = x.clone()
    for clip in range(len(x)):
        places = x[clip].flatten(1).T  # (N, C)
        theta, phi, g = (
            [flat(layer) @ place + layer.bias for place in places]
            for layer in (block.theta, block.phi, block.g)
        )
        for n in range(len(places)):
            raw = [math.exp(float(theta[n] @ phi[m])) for m in range(len(places))]
            taken = sum((e * g[m] for m, e in enumerate(raw)), torch.zeros_like(g[0])) / sum(raw)
            added = normed(block.norm, flat(block.out) @ taken + block.out.bias)
            out[clip].flatten(1)[:, n] += added
    return out


@pytest.mark.parametrize("shape", [(B, 6, T), (B, 4, 3, 2, 2)])
def test_non_local_block(shape: tuple[int, ...]) -> None:
    block = NonLocalBlock(shape[1], dimensions=len(shape) - 2)
    x = torch.rand(shape)
    assert torch.equal(block(x), x)
    drawn(block)
    with torch.no_grad():
        torch.testing.assert_close(block(x), non_local_by_loops(block, x))


def pyramid_by_loops(pyramid: nn.Module, maps: Tensor) -> Tensor:
    """The levels of the pyramid, (B, T, 4, 128)."""
    weight, bias = pyramid.reduction.weight, pyramid.reduction.bias
    frames = [
        [weight @ maps[b, t].mean(dim=(1, 2)) + bias for t in range(T)] for b in range(len(maps))
    ]
    levels = torch.zeros(len(maps), T, 4, len(bias))
    for b in range(len(maps)):
        for t in range(T):
            levels[b, t, 0] = frames[b][t]
            for level, step in enumerate((1, 2, 3), start=1):
                kernel = pyramid.convolutions[level - 1].weight  # (128, 128, 3)
                for tap in range(3):
                    other = t + (tap - 1) * step
                    if 0 <= other < T:
                        levels[b, t, level] += kernel[:, :, tap] @ frames[b][other]
    return levels


def test_temporal_pyramid() -> None:
    layer = drawn(build_aggregation("temporal_pyramid", 16))
    maps = torch.rand(B, T, 16, 3, 2)
    with torch.no_grad():
        found = layer(maps)
        expected = pyramid_by_loops(layer.pyramid, maps).mean(dim=1).flatten(1)
    torch.testing.assert_close(found.features, expected)
    assert torch.equal(found.weights, torch.full((B, T), 1 / T))


def test_gltr() -> None:
    layer = build_aggregation("gltr", 16)
    maps = torch.rand(B, T, 16, 3, 2)
    with torch.no_grad():
        levels = pyramid_by_loops(layer.pyramid, maps).flatten(2)  # (B, T, 512)
        torch.testing.assert_close(layer(maps).features, levels.mean(dim=1))  # at the start
        drawn(layer)
        levels = pyramid_by_loops(layer.pyramid, maps).flatten(2)
        attended = non_local_by_loops(layer.attention, levels.transpose(1, 2))
        torch.testing.assert_close(layer(maps).features, attended.mean(dim=2), rtol=1e-4, atol=1e-4)


def test_scan_self() -> None:
    layer = drawn(build_aggregation("scan_self", 16))
    maps = torch.rand(B, T, 16, 3, 2)
    with torch.no_grad():
        found = layer(maps)
        for b in range(B):
            pooled = [maps[b, t].mean(dim=(1, 2)) for t in range(T)]
            values = [
                normed(layer.value_norm, layer.value.weight @ r + layer.value.bias) for r in pooled
            ]
            values = [value / value.norm() for value in values]
            keys = [normed(layer.key_norm, layer.key.weight @ r + layer.key.bias) for r in pooled]
            mean_key = sum(keys[1:], keys[0]) / T
            shares = torch.zeros(T)
            for c in range(layer.feature_dim):
                raw = [math.exp(float(mean_key[c] * keys[t][c])) for t in range(T)]
                feature = sum(e * float(values[t][c]) for t, e in enumerate(raw)) / sum(raw)
                assert float(found.features[b, c]) == pytest.approx(feature, abs=1e-5)
                shares += torch.tensor(raw) / sum(raw) / layer.feature_dim
            torch.testing.assert_close(found.weights[b], shares, rtol=1e-4, atol=1e-5)


def test_group_confidence() -> None:
    layer = drawn(build_aggregation("group_confidence", 16))
    maps = torch.rand(B, T, 16, 3, 2)
    size = layer.feature_dim // layer.groups
    with torch.no_grad():
        found = layer(maps)
        for b in range(B):
            weights = torch.zeros(T)
            for group in range(layer.groups):
                own = slice(group * size, (group + 1) * size)
                parts, raw = [], []
                for t in range(T):
                    pooled = maps[b, t].mean(dim=(1, 2))
                    part = layer.disentangle.weight[own] @ pooled + layer.disentangle.bias[own]
                    vote = (
                        layer.confidence.weight[group, :, 0] @ part + layer.confidence.bias[group]
                    )
                    parts.append(part)
                    raw.append(math.exp(float(vote)))
                feature = sum((e * p for e, p in zip(raw, parts, strict=True)), 0 * parts[0])
                torch.testing.assert_close(found.features[b, own], feature / sum(raw))
                weights += torch.tensor(raw) / sum(raw) / layer.groups
            torch.testing.assert_close(found.weights[b], weights)


def test_convolutions_over_time() -> None:
    layer = drawn(DilatedOverTime(5))
    maps = torch.randn(B * T, 5, 2, 3)
    clips, expected = maps.view(B, T, 5, 2, 3), maps.clone().view(B, T, 5, 2, 3)
    with torch.no_grad():
        for b in range(B):
            for t in range(T):
                for step, (convolution, norm) in enumerate(
                    zip(layer.convolutions, layer.norms, strict=True), start=1
                ):
                    found = torch.zeros(5, 2, 3)
                    for tap in range(3):
                        other = t + (tap - 1) * step
                        if 0 <= other < T:
                            kernel = convolution.weight[:, :, tap, 0, 0]
                            found += torch.einsum("oc,chw->ohw", kernel, clips[b, other])
                    found = normed(norm, found.permute(1, 2, 0)).permute(2, 0, 1)
                    expected[b, t] += found.clamp(min=0)
        torch.testing.assert_close(layer(maps, T), expected.flatten(0, 1))


def test_convolutions_over_time_learn_unless_they_start_at_zero() -> None:
    maps = torch.randn(B * T, 5, 2, 3)
    for start, learns in (("small", True), ("zero", False)):
        layer = DilatedOverTime(5, start).train()
        found = layer(maps, T)
        assert (found - maps).abs().max() < 0.02
        assert torch.equal(found, maps) != learns
        found.square().sum().backward()
        gradients = [float(p.grad.abs().max()) for p in layer.parameters() if p.grad is not None]
        assert (max(gradients) > 0) == learns
    with pytest.raises(ValueError, match="start is 'large', expected one of"):
        DilatedOverTime(5, "large")


def co_segmentation_by_loops(layer: CoSegmentation, maps: Tensor) -> Tensor:
    clips = maps.view(-1, T, *maps.shape[1:])
    rows, columns = maps.shape[2:]
    places = [(y, x) for y in range(rows) for x in range(columns)]
    out = torch.zeros_like(clips)
    for b in range(len(clips)):
        described: dict[tuple[int, int, int], Tensor] = {}
        for t in range(T):
            for y, x in places:
                d = flat(layer.describe[0]) @ clips[b, t, :, y, x] + layer.describe[0].bias
                d = normed(layer.describe[1], d).clamp(min=0)
                described[t, y, x] = (d - d.mean()) / (d.std() + 1e-4)
        masked, gates = torch.zeros_like(clips[b]), []
        for t in range(T):
            for y, x in places:
                alike = [
                    described[t, y, x] @ described[s, v, u] / 256
                    for s in range(T)
                    if s != t
                    for v, u in places
                ]
                hidden = flat(layer.mask[0]) @ torch.stack(alike) + layer.mask[0].bias
                hidden = normed(layer.mask[1], hidden).clamp(min=0)
                score = flat(layer.mask[3])[0] @ hidden + layer.mask[3].bias[0]
                masked[t, :, y, x] = clips[b, t, :, y, x] * score.sigmoid()
            pooled = masked[t].mean(dim=(1, 2))
            hidden = torch.tanh(layer.gate[0].weight @ pooled + layer.gate[0].bias)
            gates.append((layer.gate[2].weight @ hidden + layer.gate[2].bias).sigmoid())
        gate = sum(gates[1:], gates[0]) / T
        out[b] = masked + masked * gate[:, None, None]
    return out.flatten(0, 1)


def test_co_segmentation() -> None:
    layer = drawn(CoSegmentation(6, T, (3, 2)))
    maps = torch.rand(B * T, 6, 3, 2)
    with torch.no_grad():
        expected = co_segmentation_by_loops(layer, maps)
        torch.testing.assert_close(layer(maps, T), expected, rtol=1e-4, atol=1e-5)


def test_co_segmentation_has_the_published_sizes() -> None:
    for channels, size in ((1024, 813_313), (2048, 1_600_769)):
        layer = CoSegmentation(channels, 4, (16, 8))
        assert sum(p.numel() for p in layer.parameters()) == size


def test_non_local_blocks_have_the_published_size() -> None:
    trunk = NonLocalTrunk(50)
    assert sum(p.numel() for p in trunk.over_time.parameters()) == 7_358_464
    assert list(trunk.over_time) == [f"layer2_{i}" for i in (2, 3)] + [
        f"layer3_{i}" for i in (3, 4, 5)
    ]


def test_layers_of_m3d_have_the_published_size() -> None:
    assert sum(p.numel() for p in M3DTrunk(50).over_time.parameters()) == 3_176_448


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("kind", ["m3d", "non_local"])
def test_zero_branches_start_as_the_plain_trunk(kind: str, depth: int) -> None:
    torch.manual_seed(0)
    trunk = M3DTrunk(depth, start="zero") if kind == "m3d" else NonLocalTrunk(depth)
    plain = FrameTrunk(depth, ibn=False)
    plain.load_state_dict({k: v for k, v in trunk.state_dict().items() if "over_time" not in k})
    clips = torch.rand(B, T, 3, 64, 32)
    for mode in (True, False):
        with torch.no_grad():
            found = trunk.train(mode)(clips)
            expected = plain.train(mode)(clips.flatten(0, 1)).unflatten(0, (B, T))
        torch.testing.assert_close(found, expected)


def test_a_stem_without_relu() -> None:
    trunk = NonLocalTrunk(18, stem_relu=False).eval()
    seen: list[Tensor] = []
    trunk.maxpool.register_forward_hook(lambda *args: seen.append(args[1][0]))
    with torch.no_grad():
        trunk(torch.rand(B, T, 3, 64, 32))
    expected = F.max_pool2d(seen[0], 3, 2, 1)
    assert float(expected.min()) < 0


def test_co_segmentation_is_bound_to_its_clips() -> None:
    trunk = CoSegmentationTrunk(18, frames=4, height=64, width=32).eval()
    with torch.no_grad():
        assert trunk(torch.rand(1, 4, 3, 64, 32)).shape == (1, 4, 512, 4, 2)
        for shape in ((1, 2, 3, 64, 32), (1, 4, 3, 96, 32)):
            with pytest.raises(ValueError, match=r"expected 4 frames and 4×2 \(images of 64×32"):
                trunk(torch.rand(shape))
    with pytest.raises(ValueError, match="frames is 1, expected at least 2"):
        CoSegmentationTrunk(18, frames=1)


@pytest.mark.parametrize("name", list(AGGREGATIONS))
def test_every_aggregation_fits_every_frame_trunk(name: str) -> None:
    model = VideoReID(18, 5, "not3d", aggregation=name)
    logits, features, scores = model.train()(torch.rand(2, 3, 3, 64, 32))
    assert logits.shape == (2, 5)
    assert features.shape == (2, model.feature_dim)
    assert scores.shape == (2, 3)
    model.eval()
    with torch.no_grad():
        clips = torch.rand(2, 3, 3, 64, 32)
        parts = model.of_frames(clips.flatten(0, 1))
        staged = model.of_clips(*(part.unflatten(0, (2, 3)) for part in parts))
        torch.testing.assert_close(staged.features, model(clips), rtol=1e-4, atol=1e-5)
        assert model(torch.rand(2, 3, 64, 32)).shape == (2, model.feature_dim)
    torch.testing.assert_close(staged.weights.sum(dim=1), torch.ones(2))


def test_heads() -> None:
    torch.manual_seed(0)
    features = torch.randn(8, 16)
    model = VideoReID(18, 5, head="dropout", feature="before", aggregation="gltr")
    assert model.bottleneck.bias.requires_grad
    normed_features = model.bottleneck.eval()(features.repeat(1, 32))
    with torch.no_grad():
        model.bottleneck.bias.fill_(0.5)
        shifted = model.bottleneck(features.repeat(1, 32))
    torch.testing.assert_close(shifted, normed_features + 0.5)
    classifier = model.classifier.eval()
    weight, bias = classifier.weight, classifier.bias
    torch.testing.assert_close(classifier(shifted), shifted.clamp(min=0) @ weight.T + bias)
    dropped = classifier.train()(shifted.clamp(min=1))
    assert not torch.allclose(dropped, classifier(shifted.clamp(min=1)))
    plain = VideoReID(18, 5, head="linear")
    assert not list(plain.bottleneck.parameters())
    with pytest.raises(KeyError, match=r"Unknown head: 'round'. Must be one of"):
        VideoReID(18, 5, head="round")


@pytest.mark.parametrize("frames", [1, 2, 3, 4])
def test_gradients_over_time_in_bfloat16(frames: int) -> None:
    """On a CPU, those of torch's own 3-D convolution are not a number for two frames."""
    layer, maps = DilatedOverTime(64).train(), torch.rand(8 * frames, 64, 16, 8)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        layer.zero_grad()
        with torch.autocast("cpu", dtype=dtype, enabled=dtype == torch.bfloat16):
            output = layer(maps, frames)
        output.float().square().sum().backward()
        found.append([convolution.weight.grad.clone() for convolution in layer.convolutions])
    for step, (exact, rounded) in enumerate(zip(*found, strict=True), start=1):
        assert bool((exact[:, :, ::2] == 0).all()) == (step >= frames)
        torch.testing.assert_close(
            rounded, exact, rtol=0.1, atol=0.1 * float(exact.abs().max() or 1)
        )
