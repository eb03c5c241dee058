"""Image networks of torchreid as video models, in Python and through every command."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import nr3d
from nr3d.cli import main
from nr3d.config import load_config, read_yaml
from nr3d.engine import read_records
from nr3d.errors import ConfigError, WeightsError
from nr3d.features import FeatureStore, Inference, InferenceOptions
from nr3d.features.attention import attends_by
from nr3d.host import torchreid
from nr3d.models import (
    AGGREGATIONS,
    ARCHITECTURES,
    Architecture,
    VideoReID,
    architecture_of,
    channels_innermost,
    find_architecture,
    folded,
)
from nr3d.models.families import usable_image_networks
from nr3d.models.trunks import TorchreidTrunk
from nr3d.registry import image_networks
from nr3d.runs.building import build_model
from nr3d.runs.configuration import aggregation_in, check
from nr3d.runs.transfer import load_plan
from nr3d.weights import read_tensors
from tests.commands import figures_of, run
from tests.engine.test_processes import ENVIRONMENT, command

QUICK = {
    *("resnet18", "squeezenet1_1", "squeezenet1_0_fc512", "shufflenet", "shufflenet_v2_x0_5"),
    *("mobilenetv2_x1_0", "densenet121_fc512", "pcb_p4", "osnet_x0_25", "osnet_ain_x0_25"),
}
LARGE_INPUT = {"mudeep", "inceptionv4", "inceptionresnetv2"}

EVERY = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
    for name in usable_image_networks()
]


def size_for(name: str) -> tuple[int, int]:
    return (256, 128) if name in LARGE_INPUT else (64, 32)


def build(name: str = "osnet_x0_25", identities: int = 5, **options: Any) -> VideoReID:
    torch.manual_seed(0)
    options = {"loss": "not3d", "pretrained": False, "frame_size": size_for(name), **options}
    return architecture_of(name)(identities, **options)


@pytest.mark.parametrize("name", EVERY)
def test_every_network_gives_features_and_learns_by_all_of_its_parameters(name: str) -> None:
    size = size_for(name)
    model = build(name)
    assert isinstance(model.backbone, TorchreidTrunk)
    assert (model.architecture, model.aggregation_name) == (name, "mean")
    assert (model.feature, model.frame_wise) == ("before", True)
    clips = torch.rand(2, 2, 3, *size)
    logits, features, scores = model.train()(clips)
    assert (logits.shape, features.shape) == ((2, 5), (2, model.feature_dim))
    assert scores.shape == (2, 2)
    (logits.square().sum() + features.sum()).backward()
    learning = {key: value for key, value in model.named_parameters() if value.requires_grad}
    assert all(value.grad is not None for value in learning.values())
    # Torchreid's own network gives each frame the same feature.
    own: nn.Module = torchreid.models.build_model(name, 3, loss="triplet", pretrained=False).eval()
    state = {
        key.removeprefix("backbone.network."): value
        for key, value in model.state_dict().items()
        if key.startswith("backbone.network.")
    }
    left = own.load_state_dict(state, strict=False)
    assert not left.unexpected_keys
    assert {key.split(".")[0] for key in left.missing_keys} == set(model.backbone.left_out)
    model.eval()
    with torch.no_grad():
        found = model(clips)
        torch.testing.assert_close(found, own(clips.flatten(0, 1)).unflatten(0, (2, 2)).mean(1))
        torch.testing.assert_close(folded(model)(clips), found)
        # As a training with channels-last images computes it.
        channels_innermost(model)
        again = model(clips.flatten(0, 1).contiguous(memory_format=torch.channels_last))
    near = 1e-3 * float(found.abs().max())
    torch.testing.assert_close(again.unflatten(0, (2, 2)).mean(1), found, rtol=0, atol=near)


def test_the_names_are_torchreids_and_what_is_no_trunk_is_refused() -> None:
    assert "osnet_x1_0" in image_networks()
    assert not set(image_networks()) & set(ARCHITECTURES)
    assert set(image_networks()) - set(usable_image_networks()) == {"hacnn"}
    assert find_architecture("hacnn") is None
    with pytest.raises(KeyError, match=r"'hacnn', which is none for video .it trains two"):
        architecture_of("hacnn")
    with pytest.raises(KeyError, match=r"'osnet', expected one of nr3d_resnet50_ibn, .* .`nr3d mo"):
        architecture_of("osnet")
    for name, why in (("hacnn", "it trains two"), ("vkd_resnet50", "no image network 'vkd_res")):
        with pytest.raises(ValueError, match=why):
            TorchreidTrunk(name)
    # By its name alone, torchreid builds what it always did.
    own = torchreid.models.build_model("osnet_x0_25", 3, pretrained=False)
    assert (type(own).__name__, own.classifier.out_features) == ("OSNet", 3)


class Uneven(nn.Module):
    """A network of somebody's: one feature in training, another in tests.

    Args:
        kind: the way in which it is no trunk.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.conv = nn.Conv2d(3, 4, 3)
        self.classifier = nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 2))

    def forward(self, images: torch.Tensor) -> Any:
        pooled = self.conv(images).mean((2, 3))
        if not self.training:
            return pooled
        if self.kind == "half":
            return None, self.classifier[0](pooled)
        return (None, (pooled, pooled)) if self.kind == "two" else (None, pooled[:, :2])


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("two", "gives no single feature .N, D. in training"),
        ("sizes", "its feature has 2 numbers in training and 4 in tests"),
        ("half", "its feature trains only a part of classifier"),
    ],
)
def test_networks_without_one_feature_are_refused_when_they_are_built(
    kind: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory = getattr(torchreid.models, "__model_factory")
    monkeypatch.setitem(factory, "uneven", lambda **options: Uneven(kind))
    with pytest.raises(ValueError, match=why):
        architecture_of("uneven")(3, pretrained=False)


def test_frames_of_a_size_that_a_network_cannot_take_are_refused() -> None:
    told = r"inceptionv4 cannot take frames of 64×32 pixels \(.*Kernel size.*\): set data.height"
    with pytest.raises(ValueError, match=told):
        architecture_of("inceptionv4")(3, pretrained=False, frame_size=(64, 32))
    words = ["model.name", "inceptionv4", "data.height", "64", "data.width", "32"]
    cfg = load_config("synthetic", [*words, "model.pretrained", "False"])
    with pytest.raises(ConfigError, match=told):
        build_model(cfg, 3, training=True)


def test_building_draws_as_many_random_numbers_as_torchreid() -> None:
    torch.manual_seed(3)
    torchreid.models.build_model("osnet_x0_25", 1, loss="triplet", pretrained=False)
    state = torch.get_rng_state()
    torch.manual_seed(3)
    trunk = TorchreidTrunk("osnet_x0_25", 64, 32)
    assert torch.equal(torch.get_rng_state(), state)
    assert trunk.training
    assert all(buffer.device.type == "cpu" for buffer in trunk.buffers())
    assert not any(
        value for key, value in trunk.state_dict().items() if key.endswith("num_batches_tracked")
    )


@pytest.mark.parametrize("aggregation", list(AGGREGATIONS))
def test_any_aggregation_takes_a_frames_feature_as_its_map(aggregation: str) -> None:
    model = build(aggregation=aggregation)
    logits, features, _ = model.train()(torch.rand(2, 3, 3, 64, 32))
    (logits.square().sum() + features.sum()).backward()
    assert model.eval()(torch.rand(2, 3, 3, 64, 32)).shape == (2, model.feature_dim)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("name", ["osnet_x0_25", "pcb_p4"])
def test_inference_computes_clips_frame_by_frame(name: str, precision: str) -> None:
    model = build(name).eval()
    clips = torch.rand(3, 4, 3, 64, 32)
    inference = Inference(model, torch.device("cpu"), InferenceOptions(precision))
    parts = inference.of_frames(clips.flatten(0, 1))
    found = inference.of_clips(*(part.unflatten(0, (3, 4)) for part in parts)).features
    with torch.no_grad():
        expected = model(clips)
    near = 1e-5 if precision == "float32" else 0.05 * float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=near, atol=near)


def test_an_architecture_is_found_wherever_a_name_is_read(tmp_path: Path) -> None:
    found = find_architecture("osnet_x1_0")
    assert isinstance(found, Architecture)
    assert found is architecture_of("osnet_x1_0")
    assert not found.has_trunk_of(architecture_of("osnet_x0_5"))
    cfg = load_config("mars", ["model.name", "osnet_x1_0"])
    check(cfg)
    assert aggregation_in(cfg) == "mean"
    assert not attends_by({"model": "osnet_x1_0", "aggregation": "default"})
    assert attends_by({"model": "osnet_x1_0", "aggregation": "attention"})
    first = tmp_path / "first.yaml"
    first.write_text("base: mars\nmodel: {name: osnet_x0_5}\n")
    words = ["transfer.config", str(first), "data.save_dir", str(tmp_path)]
    with pytest.raises(ConfigError, match=r"'osnet_x0_5' in transfer.config .* do not fit it"):
        second = tmp_path / "second.yaml"
        second.write_text("base: mars\nmodel: {name: osnet_x1_0}\n")
        load_plan(second, words)


def test_imagenet_weights_are_those_that_one_adds(
    no_weights: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = "no ImageNet weights for osnet_x0_25, .*pretrained=False.*weights add FILE --name osnet"
    with pytest.raises(WeightsError, match=told):
        architecture_of("osnet_x0_25")(3)
    torch.manual_seed(5)
    own = torchreid.models.build_model("osnet_x0_25", 1000, pretrained=False)
    torch.save(own.state_dict(), tmp_path / "w.pth")
    assert main(["weights", "add", str(tmp_path / "w.pth"), "--name", "osnet_x0_25.imagenet"]) == 0
    call = "nr3d.models.architecture_of('osnet_x0_25')(pretrained='imagenet')"
    assert call in capsys.readouterr().out
    assert nr3d.weights.find("osnet_x0_25.imagenet").identities is None
    model = architecture_of("osnet_x0_25")(3, aggregation="attention")
    assert torch.equal(model.backbone.network.fc[0].weight, own.fc[0].weight)


# Through every command

NETWORK = ["model.name", "osnet_x0_25"]
SMALL = [
    *("data.height", "64", "data.width", "32", "data.workers", "0", "video.seq_len", "2"),
    *("test.precision", "float32", "test.batch_size", "7"),
]
TRAINED = [
    *("model.pretrained", "False", "train.batch_size", "8", "sampler.num_instances", "2"),
    *("train.precision", "float32"),
]


def test_an_image_network_goes_through_every_command(
    mars_root: Path,
    no_weights: Callable[[str], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = ["--config", "synthetic", "--root", mars_root]

    def train(folder: str, *more: object) -> Path:
        words = [*NETWORK, *SMALL, *TRAINED, "data.save_dir", tmp_path / folder, *more]
        run("train", *data, *words)
        return tmp_path / folder / "model-last.pth.tar"

    run("train", *data, *NETWORK, *SMALL, *TRAINED, "data.save_dir", tmp_path / "x", "--dry-run")
    assert not (tmp_path / "x").exists()
    whole = train("whole", "train.max_epoch", "2")
    last = train("parts", "train.max_epoch", "1")
    train("parts", "train.max_epoch", "2", "model.resume", last)
    once, resumed = (read_tensors(path) for path in (whole, last))
    assert once.keys() == resumed.keys()
    assert all(torch.equal(value, resumed[key]) for key, value in once.items())
    assert not any("network.classifier" in key for key in once)
    facts = torch.load(whole, weights_only=True)["facts"]
    assert (facts["architecture"], facts["aggregation"]) == ("osnet_x0_25", "mean")
    assert facts["feature"] == "before"
    record = [r for r in read_records(whole.parent) if r["kind"] == "test"][-1]

    # The weights alone say how they are tested.
    run("test", *data, "--weights", whole, *SMALL, "--json", tmp_path / "test.json")
    tested = figures_of(tmp_path / "test.json")
    assert tested == {name: pytest.approx(record[name]) for name in tested}
    store = tmp_path / "features.h5"
    run("extract", *data, "--weights", whole, "--out", store, *NETWORK, *SMALL)
    run("test", "--features", store, "--json", tmp_path / "store.json")
    assert figures_of(tmp_path / "store.json") == pytest.approx(tested)
    assert FeatureStore(store).load("query").features.shape[1] == 512

    # Published, and taken in on another machine.
    name = "osnet_x0_25.mine"
    run("weights", "export", whole, "--name", name, "--out", tmp_path)
    manifest = read_yaml(tmp_path / f"{name}.yaml")[name]
    assert (manifest["aggregation"], manifest["feature"]) == ("mean", "before")
    assert (manifest["layout"], manifest["identities"]) == ("nr3d", 8)
    card = (tmp_path / f"{name}.md").read_text()
    assert 'nr3d.models.architecture_of("osnet_x0_25")(pretrained="mine")' in card
    assert "import torchreid" not in card
    no_weights("there")
    run("weights", "add", tmp_path / f"{name}.yaml")
    assert "architecture_of('osnet_x0_25')(pretrained='mine')" in capsys.readouterr().out
    model = architecture_of("osnet_x0_25")(8, pretrained="mine")
    assert all(torch.equal(value, once[key]) for key, value in model.state_dict().items())
    run("test", *data, "--weights", name, *SMALL, "--json", tmp_path / "named.json")
    assert figures_of(tmp_path / "named.json") == pytest.approx(tested)


def test_torchreids_own_file_is_tested_extracted_and_published(
    mars_root: Path, no_weights: object, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    own = torchreid.models.build_model("osnet_x0_25", 751, loss="softmax", pretrained=False)
    file = tmp_path / "osnet.pth.tar"
    state = {f"module.{key}": value for key, value in own.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, file)
    words = ["--config", "synthetic", "--root", mars_root, "--weights"]
    run("test", *words, file, *NETWORK, *SMALL, "--json", tmp_path / "test.json")
    tested = figures_of(tmp_path / "test.json")
    run("extract", *words, file, "--out", tmp_path / "f.h5", *NETWORK, *SMALL)
    run("test", "--features", tmp_path / "f.h5", "--json", tmp_path / "store.json")
    assert figures_of(tmp_path / "store.json") == pytest.approx(tested)
    run("weights", "export", file, "--name", "osnet_x0_25.msmt17", "--out", tmp_path)
    manifest = tmp_path / "osnet_x0_25.msmt17.yaml"
    assert "identities" not in read_yaml(manifest)["osnet_x0_25.msmt17"]
    run("weights", "add", manifest)
    run("test", *words, "osnet_x0_25.msmt17", *SMALL, "--json", tmp_path / "named.json")
    assert figures_of(tmp_path / "named.json") == pytest.approx(tested)


def test_two_processes_train_an_image_network(mars_root: Path, tmp_path: Path) -> None:
    changes = (*NETWORK, "model.pretrained", "False", "data.height", "64", "data.width", "32")
    words = command(mars_root, tmp_path / "log", *changes, "train.max_epoch", "1")
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "log" / "model-last.pth.tar").is_file()
