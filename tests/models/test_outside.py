"""Trunks, aggregations and architectures from outside the package go through every command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import nr3d
from nr3d.config import read_yaml
from nr3d.engine import read_records
from nr3d.errors import WeightsError
from nr3d.features import FeatureStore
from nr3d.host import torchreid
from nr3d.weights import entry_of, read_tensors
from tests.commands import figures_of, run
from tests.engine.test_processes import ENVIRONMENT, TWO

pytestmark = pytest.mark.usefixtures("outside")

SMALL = [
    *("data.height", "32", "data.width", "16", "data.workers", "0", "video.seq_len", "2"),
    *("test.precision", "float32", "test.batch_size", "7"),
]
TRAINED = [
    *("model.pretrained", "False", "train.batch_size", "8", "sampler.num_instances", "2"),
    *("train.max_epoch", "1", "train.precision", "float32"),
]

NETWORKS = [
    ("small_clips", "default", "live_attention"),
    ("small_halves", "greatest", "greatest"),
    ("small_clips", "gated", "gated"),
    ("small_frames", "greatest", "greatest"),
    ("small_frames", "gated", "gated"),
]


@pytest.mark.parametrize(("architecture", "aggregation", "named"), NETWORKS)
def test_a_network_from_outside_goes_through_every_command(
    architecture: str,
    aggregation: str,
    named: str,
    mars_root: Path,
    no_weights: Callable[[str], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    network = ["model.name", architecture, "model.aggregation", aggregation]
    data = ["--config", "synthetic", "--root", mars_root]
    log, best = tmp_path / "log", tmp_path / "log" / "model-best.pth.tar"
    train = ["train", *data, *network, *SMALL, *TRAINED, "data.save_dir", log]
    run(*train, "--dry-run", "--json", tmp_path / "dry.json")
    rehearsed = json.loads((tmp_path / "dry.json").read_text())["run"]
    assert rehearsed["test_seconds"] > 0
    assert not log.exists()
    run(*train)
    facts = torch.load(best, weights_only=True)["facts"]
    assert (facts["architecture"], facts["aggregation"]) == (architecture, named)
    (record,) = [r for r in read_records(log) if r["kind"] == "test"]

    # The weights alone say how they are tested.
    run("test", *data, "--weights", best, *SMALL, "--json", tmp_path / "test.json")
    tested = figures_of(tmp_path / "test.json")
    assert tested == {name: pytest.approx(record[name]) for name in tested}
    store = tmp_path / "features.h5"
    run("extract", *data, "--weights", best, "--out", store, *network, *SMALL)
    run("test", "--features", store, "--json", tmp_path / "store.json")
    assert figures_of(tmp_path / "store.json") == pytest.approx(tested)
    for shares in FeatureStore(store).frame_weights("gallery"):
        # Frames 0 1, 2 3 and twice 4.
        assert [float(shares[:2].sum()), float(shares[2:4].sum()), float(shares[4])] == [
            pytest.approx(1) for _ in range(3)
        ]

    # A run goes on from its last checkpoint.
    last = log / "model-last.pth.tar"
    run(*train, "model.resume", last, "train.max_epoch", "2")
    assert torch.load(last, weights_only=True)["epoch"] == 2

    # Published, and taken in on another machine.
    name = f"{architecture}.mine"
    run("weights", "export", best, "--name", name, "--out", tmp_path)
    manifest = read_yaml(tmp_path / f"{name}.yaml")[name]
    assert (manifest["aggregation"], manifest["layout"]) == (named, "nr3d")
    card = (tmp_path / f"{name}.md").read_text()
    option = f', aggregation="{named}"'
    assert f'build_model("{architecture}", pretrained="mine"{option})' in card
    no_weights("there")
    run("weights", "add", tmp_path / f"{name}.yaml")
    run("weights", "list")
    assert name in capsys.readouterr().out
    model = torchreid.models.build_model(
        architecture, 8, pretrained="mine", aggregation=manifest["aggregation"]
    )
    state = read_tensors(best)
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    run("test", *data, "--weights", name, *SMALL, "--json", tmp_path / "named.json")
    assert figures_of(tmp_path / "named.json") == pytest.approx(tested)

    # So is a training checkpoint, and the bare tensors of it.
    torch.save(state, tmp_path / "bare.pth")
    for file in (best, tmp_path / "bare.pth"):
        run("weights", "add", file, "--name", f"{architecture}.{file.stem.split('.')[0]}")
    entry = entry_of(f"{architecture}.model-best")
    assert entry is not None
    assert (entry.aggregation, entry.identities) == (named, 8)


def test_the_models_from_outside_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    run("models")
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("small_clips")]
    parameters = nr3d.models.ARCHITECTURES["small_clips"](pretrained=False).parameters()
    counted = sum(parameter.numel() for parameter in parameters)
    assert line.split(maxsplit=2)[1:] == [f"{counted:,}", "a small one"]


def test_a_model_without_imagenet_weights_says_how_to_go_on(
    no_weights: object,
) -> None:
    with pytest.raises(WeightsError, match=r"no ImageNet weights for small_clips, .*pretrained=F"):
        torchreid.models.build_model("small_clips")


def test_two_processes_extract_what_one_does(
    mars_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    model = nr3d.models.ARCHITECTURES["small_clips"](8, pretrained=False)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    words = ["extract", "--config", "synthetic", "--root", str(mars_root)]
    words += ["--weights", str(tmp_path / "w.pth"), "model.name", "small_clips", *SMALL, "--out"]
    run(*words, tmp_path / "one.h5")
    done = subprocess.run(
        [sys.executable, *TWO, "-m", "tests.models.outside", *words, str(tmp_path / "two.h5")],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    one, two = (FeatureStore(tmp_path / name) for name in ("one.h5", "two.h5"))
    for split in ("train", "query", "gallery"):
        torch.testing.assert_close(
            one.load(split).features, two.load(split).features, rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("aggregation", ["attention", "mean", "gated", "greatest"])
@pytest.mark.parametrize("architecture", ["small_frames", "small_clips", "small_halves"])
def test_inference_in_lower_precision_is_close_to_the_network(
    architecture: str, aggregation: str, precision: str
) -> None:
    torch.manual_seed(0)
    model = nr3d.models.ARCHITECTURES[architecture](pretrained=False, aggregation=aggregation)
    model.eval()
    clips = torch.rand(3, 4, 3, 32, 16)
    options = nr3d.features.InferenceOptions(precision)
    inference = nr3d.features.Inference(model, torch.device("cpu"), options)
    found = inference.embed(clips)
    with torch.no_grad():
        expected = model.embed(clips)
    near = 1e-5 if precision == "float32" else 5e-2
    for ours, theirs, shape in zip(found, expected, [(3, 8), (3, 4), (3, 4)], strict=True):
        assert ours.shape == shape
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, rtol=near, atol=near)
    torch.testing.assert_close(found.weights.sum(1), torch.ones(3))
    if architecture == "small_frames":
        parts = inference.of_frames(clips.flatten(0, 1))
        again = inference.of_clips(*(part.unflatten(0, (3, 4)) for part in parts))
        torch.testing.assert_close(again.features, found.features)


def test_a_trunk_that_mixes_frames_takes_no_single_ones() -> None:
    model = nr3d.models.ARCHITECTURES["small_clips"](pretrained=False)
    with pytest.raises(ValueError, match="SmallTrunk mixes the frames of a clip, expected a frame"):
        model.of_frames(torch.rand(2, 3, 32, 16))
    assert model.eval()(torch.rand(2, 3, 32, 16)).shape == (2, 8)  # images are clips of one frame


def test_a_trunk_of_3d_convolutions_is_left_as_it_is_by_folding() -> None:
    model = nr3d.models.ARCHITECTURES["small_clips"](pretrained=False).eval()
    model.backbone.bn1.running_mean.normal_()
    clips = torch.rand(2, 4, 3, 32, 16)
    with torch.no_grad():
        torch.testing.assert_close(nr3d.models.folded(model)(clips), model(clips))


def test_norms_before_convolutions_are_not_folded() -> None:
    class Before(torch.nn.Module):
        """Normalises before it convolves, though the names are those of the other order."""

        channels = 8

        def __init__(self) -> None:
            super().__init__()
            self.bn1 = torch.nn.BatchNorm2d(3)
            self.conv1 = torch.nn.Conv2d(3, 8, 3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            maps: torch.Tensor = self.conv1(self.bn1(images))
            return maps

    model = nr3d.models.VideoReID(trunk=Before(), num_classes=4).eval()
    model.backbone.bn1.running_mean.normal_()
    clips = torch.rand(2, 4, 3, 32, 16)
    with torch.no_grad():
        torch.testing.assert_close(nr3d.models.folded(model)(clips), model(clips))


def test_channels_lie_innermost_in_kernels_of_two_and_three_dimensions() -> None:
    model = nr3d.models.ARCHITECTURES["small_clips"](pretrained=False)
    parameters = list(model.parameters())
    nr3d.models.channels_innermost(model)
    assert all(one is other for one, other in zip(parameters, model.parameters(), strict=True))
    three = model.backbone.conv1.weight
    assert three.is_contiguous(memory_format=torch.channels_last_3d)
    assert model.aggregation.spatial.weight.is_contiguous(memory_format=torch.channels_last)
