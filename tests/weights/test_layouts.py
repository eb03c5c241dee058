"""Files of other code lines: recognised, renamed, and the same features as in their own network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

import nr3d
from nr3d.errors import WeightsError
from nr3d.host import torchreid
from nr3d.weights import LAYOUTS, load
from nr3d.weights.layouts import recognise

CLIPS = (2, 3, 3, 64, 32)


def shake(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give norms that do something: statistics and weights as after a training."""
    generator = torch.Generator().manual_seed(seed)
    for key, value in module.state_dict().items():
        if key.endswith(("running_mean", "IN.bias", "bn1.bias", "bn2.bias")):
            value.copy_(0.2 * torch.randn(value.shape, generator=generator))
        elif key.endswith("running_var"):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    return module.eval()


def with_last_stride_1(resnet: nn.Module) -> nn.Module:
    first = resnet.layer4[0]
    (first.conv2 if hasattr(first, "conv3") else first.conv1).stride = (1, 1)
    first.downsample[0].stride = (1, 1)
    return resnet


class Vkd(nn.Module):
    """VKD's network as its code builds it: five numbered stages, the mean, a classifier's neck."""

    def __init__(self, depth: int, identities: int) -> None:
        super().__init__()
        resnet = with_last_stride_1(getattr(torchvision.models, f"resnet{depth}")())
        resnet.layer4[-1].relu = nn.Sequential()
        stages = [[getattr(resnet, f"layer{i}")] for i in (1, 2, 3, 4)]
        stem = [resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool]
        self.backbone = nn.Module()
        self.backbone.features_layers = nn.ModuleList(
            nn.Sequential(*stage) for stage in (stem, *stages)
        )
        width = resnet.fc.in_features
        self.classifier = nn.Module()
        self.classifier.bottleneck = nn.BatchNorm1d(width)
        self.classifier.classifier = nn.Linear(width, identities, bias=False)

    def forward(self, clips: Tensor) -> Tensor:
        maps = clips.flatten(0, 1)
        for stage in self.backbone.features_layers:
            maps = stage(maps)
        return maps.mean(dim=(2, 3)).view(*clips.shape[:2], -1).mean(dim=1)


class Attending(nn.Module):
    """What the authors' code and VPRT's have in common; only names differ."""

    def attend(self, maps: Tensor, clips: int) -> Tensor:
        scores = self.attention_conv(nn.functional.adaptive_avg_pool2d(maps, (14, 7))).relu()
        scores = scores.view(clips, -1, 256).permute(0, 2, 1)
        weights = self.attention_tconv(scores).relu().view(clips, -1).softmax(dim=1)
        pooled = maps.mean(dim=(2, 3)).view(*weights.shape, -1)
        return (weights[..., None] * pooled).sum(dim=1)


class Vprt(Attending):
    def __init__(self, identities: int) -> None:
        super().__init__()
        resnet = with_last_stride_1(torchvision.models.resnet18())
        self.base = nn.Sequential(*list(resnet.children())[:-2])
        self.attention_conv = nn.Conv2d(512, 256, (14, 7))
        self.attention_tconv = nn.Conv1d(256, 1, 3, padding=1)
        self.classifier = nn.Module()
        self.classifier.bn = nn.BatchNorm1d(512)
        self.classifier.classifier = nn.Linear(512, identities, bias=False)

    def forward(self, clips: Tensor) -> Tensor:
        return self.classifier.bn(self.attend(self.base(clips.flatten(0, 1)), len(clips)))


class Authors(Attending):
    def __init__(self, identities: int) -> None:
        super().__init__()
        self.base = nr3d.models.FrameTrunk(18)  # torchvision's names with IBN's, as theirs
        self.attention_conv = nn.Conv2d(512, 256, (14, 7))
        self.attention_tconv = nn.Conv1d(256, 1, 3, padding=1)
        self.bottleneck = nn.BatchNorm1d(512)
        self.classifier = nn.Linear(512, identities, bias=False)
        self.class_1 = nn.Linear(512, 4, bias=False)

    def forward(self, clips: Tensor) -> Tensor:
        return self.bottleneck(self.attend(self.base(clips.flatten(0, 1)), len(clips)))


class Gltr(nn.Module):
    """GLTR's network as its code builds it: torchvision's names, and pictures of features."""

    def __init__(self, identities: int) -> None:
        super().__init__()
        resnet = with_last_stride_1(torchvision.models.resnet50())
        for name, child in list(resnet.named_children())[:-2]:
            self.add_module(name, child)
        self.feat = nn.Linear(2048, 128)
        for step in (1, 2, 3):
            picture = nn.Conv2d(1, 128, (3, 128), dilation=(step, 1), padding=(step, 0), bias=False)
            self.add_module(f"feat{step}", picture)
        self.build_head(identities)

    def build_head(self, identities: int) -> None:
        self.Nonlocal_block0 = nn.Module()
        for name in ("g", "theta", "phi"):
            self.Nonlocal_block0.add_module(name, nn.Conv1d(512, 256, 1))
        self.Nonlocal_block0.W = nn.Sequential(nn.Conv1d(256, 512, 1), nn.BatchNorm1d(512))
        self.feat_bn = nn.BatchNorm1d(512)
        self.classifier = nn.Linear(512, identities)

    def maps(self, clips: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(clips.flatten(0, 1)))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def levels(self, clips: Tensor) -> list[Tensor]:
        frames = self.feat(self.maps(clips).mean(dim=(2, 3))).view(*clips.shape[:2], 128)
        pictures = [getattr(self, f"feat{step}")(frames[:, None])[..., 0] for step in (1, 2, 3)]
        return [frames.transpose(1, 2), *pictures]  # (B, 128, T) each

    def forward(self, clips: Tensor) -> Tensor:
        x, block = torch.cat(self.levels(clips), dim=1), self.Nonlocal_block0
        agreement = (block.theta(x).transpose(1, 2) @ block.phi(x)).softmax(dim=2)
        taken = (agreement @ block.g(x).transpose(1, 2)).transpose(1, 2)
        return (block.W(taken) + x).mean(dim=2)


class M3dLayer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        for step in (1, 2, 3):
            size = {"kernel_size": (3, 1, 1), "padding": (step, 0, 0), "dilation": (step, 1, 1)}
            self.add_module(f"conv{step}", nn.Conv3d(width, width, **size, bias=False))
            self.add_module(f"bn{step}", nn.BatchNorm3d(width))

    def forward(self, maps: Tensor, frames: int) -> Tensor:
        clips = maps.unflatten(0, (-1, frames)).transpose(1, 2)
        found = [
            getattr(self, f"bn{step}")(getattr(self, f"conv{step}")(clips)).relu()
            for step in (1, 2, 3)
        ]
        return maps + sum(found[1:], found[0]).transpose(1, 2).flatten(0, 1)


class M3d(Gltr):
    """M3D's: the layers over time inside the stem and the first blocks, and four norms."""

    def build_head(self, identities: int) -> None:
        self.conv1_t = M3dLayer(64)
        for stage, width in ((1, 64), (2, 128), (3, 256), (4, 512)):
            getattr(self, f"layer{stage}")[0].conv2_t = M3dLayer(width)
        for number in ("", "1", "2", "3"):
            self.add_module(f"feat_bn{number}", nn.BatchNorm1d(128))
        self.classifier = nn.Linear(512, identities)

    def maps(self, clips: Tensor) -> Tensor:
        frames = clips.shape[1]
        x = self.conv1_t(self.relu(self.bn1(self.conv1(clips.flatten(0, 1)))), frames)
        x = self.maxpool(x)
        for stage in (1, 2, 3, 4):
            for number, block in enumerate(getattr(self, f"layer{stage}")):
                out = block.relu(block.bn1(block.conv1(x)))
                out = block.relu(block.bn2(block.conv2(out)))
                out = block.conv2_t(out, frames) if number == 0 else out
                out = block.bn3(block.conv3(out))
                x = block.relu(out + (block.downsample(x) if block.downsample else x))
        return x

    def forward(self, clips: Tensor) -> Tensor:
        return torch.cat([level.mean(dim=2) for level in self.levels(clips)], dim=1)

    def normed(self, features: Tensor) -> Tensor:
        norms = (self.feat_bn, self.feat_bn1, self.feat_bn2, self.feat_bn3)
        parts = zip(norms, features.split(128, dim=1), strict=True)
        return torch.cat([norm(part) for norm, part in parts], dim=1)


class Cosam(nn.Module):
    """COSAM's: numbered stages, and the co-segmentation beside them."""

    def __init__(self, identities: int, frames: int, sizes: tuple[int, int]) -> None:
        super().__init__()
        resnet = with_last_stride_1(torchvision.models.resnet50())
        self.base = nn.Sequential(*list(resnet.children())[:-2])
        places = (frames - 1) * sizes[0] * sizes[1]
        modules: dict[str, nn.Module] = {}
        for number, width in (("2", 1024), ("3", 2048)):
            own = modules[number] = nn.Module()
            own.dim_reduction = nn.Sequential(nn.Conv2d(width, 256, 1), nn.BatchNorm2d(256))
            own.spatial_mask_summary = nn.Sequential(
                *(nn.Conv2d(places, 64, 1), nn.BatchNorm2d(64), nn.ReLU(), nn.Conv2d(64, 1, 1))
            )
            own.channelwise_attention = nn.Sequential(
                nn.Linear(width, 256), nn.Tanh(), nn.Linear(256, width), nn.Sigmoid()
            )
        self.attention_modules = nn.Module()
        self.attention_modules.attention_modules = nn.ModuleDict(modules)
        self.classifier = nn.Linear(2048, identities)

    def attend(self, own: nn.Module, maps: Tensor, frames: int) -> Tensor:
        found = own.dim_reduction(maps).relu().flatten(2)  # (B·T, 256, h·w)
        found = (found - found.mean(1, keepdim=True)) / (found.std(1, keepdim=True) + 1e-4)
        found = found.unflatten(0, (-1, frames))
        alike = []
        for clip in found:
            for t in range(frames):
                others = torch.cat([clip[s] for s in range(frames) if s != t], dim=1)
                alike.append((others.T @ clip[t] / 256).view(-1, *maps.shape[2:]))
        masked = maps * own.spatial_mask_summary(torch.stack(alike)).sigmoid()
        gate = own.channelwise_attention(masked.mean(dim=(2, 3)))
        gate = gate.unflatten(0, (-1, frames)).mean(dim=1).repeat_interleave(frames, dim=0)
        return masked + masked * gate[:, :, None, None]

    def forward(self, clips: Tensor) -> Tensor:
        x, own = clips.flatten(0, 1), self.attention_modules.attention_modules
        for number, stage in enumerate(self.base):
            x = stage(x)
            if number in (6, 7):
                x = self.attend(own[str(number - 4)], x, clips.shape[1])
        return x.mean(dim=(2, 3)).unflatten(0, clips.shape[:2]).mean(dim=1)


class Nvan(nn.Module):
    """NVAN's: a stem without ReLU, and lists of non-local blocks beside the stages."""

    def __init__(self, identities: int) -> None:
        super().__init__()
        resnet = with_last_stride_1(torchvision.models.resnet50())
        backbone = nn.Module()
        for name, child in list(resnet.named_children())[:-2]:
            backbone.add_module(name, child)
        for stage, count, width in ((2, 2, 512), (3, 3, 1024)):
            blocks = nn.ModuleList()
            for _ in range(count):
                block = nn.Module()
                for name in ("g", "theta", "phi"):
                    block.add_module(name, nn.Conv3d(width, width // 2, 1))
                block.W = nn.Sequential(nn.Conv3d(width // 2, width, 1), nn.BatchNorm3d(width))
                blocks.append(block)
            backbone.add_module(f"NL_{stage}", blocks)
        self.features = nn.Module()
        self.features.backbone = backbone
        self.bottleneck = nn.BatchNorm1d(2048)
        self.classifier = nn.Linear(2048, identities, bias=False)

    def forward(self, clips: Tensor) -> Tensor:
        trunk, frames = self.features.backbone, clips.shape[1]
        x = trunk.maxpool(trunk.bn1(trunk.conv1(clips.flatten(0, 1))))
        for stage in (1, 2, 3, 4):
            blocks = list(getattr(trunk, f"layer{stage}"))
            extra = list(getattr(trunk, f"NL_{stage}", []))
            for number, block in enumerate(blocks):
                x = block(x)
                after = number - (len(blocks) - len(extra))
                if after >= 0:
                    y, own = x.unflatten(0, (-1, frames)).transpose(1, 2), extra[after]
                    agreement = own.theta(y).flatten(2).transpose(1, 2) @ own.phi(y).flatten(2)
                    taken = agreement.softmax(dim=2) @ own.g(y).flatten(2).transpose(1, 2)
                    taken = taken.transpose(1, 2).reshape(len(y), -1, *y.shape[2:])
                    x = (own.W(taken) + y).transpose(1, 2).flatten(0, 1)
        pooled = x.mean(dim=(2, 3)).unflatten(0, clips.shape[:2]).mean(dim=1)
        return self.bottleneck(pooled)


def registered(name: str, **options: object) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        model: nn.Module = torchreid.models.build_model(
            name, 5, "not3d", pretrained=False, **options
        )
        return model

    return build


Case = tuple[str, Callable[[], nn.Module], Callable[[], nn.Module]]


def ours(depth: int, **options: object) -> nr3d.models.VideoReID:
    return nr3d.models.VideoReID(depth, 5, "not3d", **options)


def vkd() -> nr3d.models.VideoReID:
    model: nr3d.models.VideoReID = torchreid.models.build_model("vkd_resnet50", 5, pretrained=False)
    return model


CASES: list[Case] = [
    ("vkd", lambda: Vkd(50, 5), vkd),
    ("vprt", lambda: Vprt(5), lambda: ours(18, ibn=False)),
    ("not3d", lambda: Authors(5), lambda: ours(18)),
    ("gltr", lambda: Gltr(5), registered("gltr_resnet50")),
    ("m3d", lambda: M3d(5), registered("m3d_resnet50")),
    (
        "cosam",
        lambda: Cosam(5, 3, (4, 2)),
        registered("cosam_resnet50", frames=3, frame_size=(64, 32)),
    ),
    ("nvan", lambda: Nvan(5), registered("vrstc_reid_resnet50")),
]


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(("layout", "theirs", "mine"), CASES, ids=[case[0] for case in CASES])
def test_a_foreign_file_gives_the_features_of_its_own_network(
    layout: str,
    theirs: Callable[[], nn.Module],
    mine: Callable[[], nn.Module],
    prefix: str,
    tmp_path: Path,
) -> None:
    torch.manual_seed(1)
    reference, model = shake(theirs()), mine().eval()
    state = OrderedDict((prefix + key, value) for key, value in reference.state_dict().items())
    # As these code lines saved: the older format, and a dict around it.
    content = state if layout == "vkd" else {"state_dict": state, "epoch": 3}
    torch.save(content, tmp_path / "chk", _use_new_zipfile_serialization=False)
    report = load(model, tmp_path / "chk", whole=True)
    assert report.layout == layout
    assert set(report.loaded) == set(model.state_dict())
    assert report.left == {}
    clips = torch.rand(CLIPS)
    with torch.no_grad():
        torch.testing.assert_close(model(clips), reference(clips), rtol=1e-4, atol=1e-4)
    extra = {f"{key}": "class_1" in key for key in report.unused}
    assert all(extra.values())
    assert len(extra) == (1 if layout == "not3d" else 0)


@pytest.mark.parametrize("theirs", [Vprt, Authors])
def test_their_attention_is_the_published_one(theirs: type[Attending], tmp_path: Path) -> None:
    torch.save(theirs(5).state_dict(), tmp_path / "chk")
    live = ours(18, ibn=theirs is Authors, aggregation="live_attention")
    with pytest.raises(WeightsError, match="aggregates by attention, the model by live_attention"):
        load(live, tmp_path / "chk", whole=True)
    assert "different features" in str(load(live, tmp_path / "chk"))


def test_vkds_last_block_is_linear() -> None:
    """Its code takes every ReLU of the block, so that the map is negative in places."""
    model = vkd()
    assert not any(isinstance(m, nn.ReLU) for m in model.backbone.layer4[-1].modules())
    assert float(model.eval().featuremaps(torch.rand(CLIPS)).detach().min()) < 0


def test_vkd_features_are_taken_before_the_neck() -> None:
    model = shake(torchreid.models.build_model("vkd_resnet50", 5, "triplet", pretrained=False))
    clips = torch.rand(CLIPS)
    with torch.no_grad():
        pooled = model.featuremaps(clips).mean(dim=(1, 3, 4))
        torch.testing.assert_close(model(clips), pooled)
        torch.testing.assert_close(model.embed(clips).features, pooled)
        model.train()
        logits, features = model(clips)
        normed = nn.functional.batch_norm(
            features, None, None, model.bottleneck.weight, model.bottleneck.bias, training=True
        )
        torch.testing.assert_close(logits, normed @ model.classifier.weight.T)


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
@pytest.mark.parametrize("ibn", [True, False])
def test_an_imagenet_file_goes_into_the_trunk(depth: int, ibn: bool, tmp_path: Path) -> None:
    source = nr3d.models.FrameTrunk(depth, ibn).state_dict()
    width = 512 if depth < 50 else 2048
    source |= {"fc.weight": torch.rand(1000, width), "fc.bias": torch.rand(1000)}
    # The published files are from before batches were counted.
    source = {k: v for k, v in source.items() if not k.endswith("num_batches_tracked")}
    torch.save(source, tmp_path / "w.pth")
    model = nr3d.models.VideoReID(depth, 5, ibn=ibn, aggregation="mean")
    start = {key: value.clone() for key, value in model.state_dict().items()}
    report = load(model, tmp_path / "w.pth")
    assert report.layout == "torchvision"
    for key, value in model.state_dict().items():
        expected = source.get(key.removeprefix("backbone."), start[key])
        assert torch.equal(value, expected), key
    assert set(report.unused) == {"fc.weight", "fc.bias"}
    assert set(report.unused.values()) == {"the classifier of the trunk's own training"}
    reasons = {key: why for key, why in report.left.items() if not key.startswith("backbone")}
    assert set(reasons.values()) == {"the file holds a trunk only"}
    assert not report.whole
    with pytest.raises(WeightsError, match="does not give this model its features"):
        load(model, tmp_path / "w.pth", whole=True)


@pytest.mark.parametrize("name", ["m3d_resnet18", "cosam_resnet18", "vrstc_reid_resnet18"])
def test_a_trunk_with_parts_of_its_own_starts_from_a_plain_one(name: str, tmp_path: Path) -> None:
    source = torchvision.models.resnet18().state_dict()
    torch.save(source, tmp_path / "w.pth")
    model = registered(name)()
    start = {key: value.clone() for key, value in model.state_dict().items()}
    report = load(model, tmp_path / "w.pth")
    for key, value in model.state_dict().items():
        assert torch.equal(value, source.get(key.removeprefix("backbone."), start[key])), key
    added = [key for key in report.left if key.startswith("backbone.")]
    assert added
    assert {report.left[key] for key in added} == {"the file's trunk has no over_time"}
    assert all(key.startswith("backbone.over_time.") for key in added)


def test_signatures_tell_the_layouts_apart() -> None:
    for name, theirs, _ in CASES:
        found = recognise(theirs().state_dict())
        assert found is not None
        assert found.name == name
    assert recognise(ours(18).state_dict()) is LAYOUTS["nr3d"]
    assert recognise(torchvision.models.resnet18().state_dict()) is LAYOUTS["torchvision"]
    assert recognise({"other.weight": torch.zeros(1)}) is None


def test_m3ds_four_norms_are_one(tmp_path: Path) -> None:
    reference = shake(M3d(5))
    for number, norm in enumerate((reference.feat_bn1, reference.feat_bn2)):
        norm.running_mean.fill_(0.1 + number)
    torch.save(reference.state_dict(), tmp_path / "chk")
    model = registered("m3d_resnet50")().eval()
    load(model, tmp_path / "chk", whole=True)
    features = torch.rand(2, 512)
    torch.testing.assert_close(model.bottleneck(features), reference.normed(features))


def test_a_key_that_no_table_explains_is_an_error(tmp_path: Path) -> None:
    state = Vkd(50, 5).state_dict() | {"backbone.features_layers.5.weight": torch.zeros(3)}
    torch.save(state, tmp_path / "chk")
    model = vkd()
    with pytest.raises(WeightsError, match=r"chk has keys .* layout vkd .*features_layers\.5"):
        load(model, tmp_path / "chk")


def test_a_networks_of_another_aggregation_gives_its_trunk_and_says_so(tmp_path: Path) -> None:
    source = ours(18, ibn=False, aggregation="mean")
    torch.save(source.state_dict(), tmp_path / "mean.pth")
    model = ours(18, ibn=False)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    report = load(model, tmp_path / "mean.pth")
    for key, value in model.state_dict().items():
        trunk = key.startswith("backbone.")
        assert torch.equal(value, source.state_dict()[key] if trunk else before[key]), key
    why = "the file's network aggregates by mean, the model by attention"
    assert {key.split(".")[0] for key in report.left} == {"aggregation", "bottleneck", "classifier"}
    assert {key.split(".")[0] for key in report.unused} == {"bottleneck", "classifier"}
    assert set(report.left.values()) == set(report.unused.values()) == {why}
    left = f"Left at its initial value: aggregation, bottleneck, classifier (10 tensors): {why}."
    assert left in str(report)


def test_a_linear_trunk_starts_a_network_with_relus_and_says_so(tmp_path: Path) -> None:
    torch.save(Vkd(50, 5).state_dict(), tmp_path / "chk")
    model = ours(50, ibn=False, aggregation="mean")
    report = load(model, tmp_path / "chk")
    assert set(report.left.values()) == {
        "the last block of the file's trunk is linear, the model's is not"
    }
    assert not report.whole
