"""Training, testing and publishing with ``not3d.attention live``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from nr3d.cli import main
from nr3d.config import Command, load_config, read_yaml
from nr3d.errors import ConfigError
from nr3d.models import VideoReID
from nr3d.runs import training
from nr3d.runs.run import opened
from nr3d.weights import load
from tests.runs.conftest import SMALL

LIVE = [*SMALL, "model.aggregation", "default", "not3d.attention", "live"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, mars_root: Path) -> Path:
    """Folder of a run that was trained with the live attention."""
    folder = tmp_path_factory.mktemp("live") / "log"
    places = ["data.root", str(mars_root), "data.save_dir", str(folder)]
    training.train(load_config("mars", [*LIVE, *places]))
    return folder


def test_a_checkpoint_is_tested_as_what_it_was_trained_as(
    trained: Path, mars_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = trained / "model-last.pth.tar"
    facts = torch.load(checkpoint, weights_only=True)["facts"]
    assert facts["aggregation"] == "live_attention"
    options = ["--config", "mars", "--root", str(mars_root), "--weights", str(checkpoint)]
    words = ["data.save_dir", str(tmp_path), "data.workers", "0"]
    assert main(["test", *options, *words]) == 0
    assert "not3d.attention live" in capsys.readouterr().err
    assert main(["test", *options, *words, "not3d.attention", "paper"]) == 2
    printed = capsys.readouterr().err
    assert "aggregates by live_attention, the model by attention" in printed
    assert "the same model.name, model.aggregation and not3d.attention" in printed


def test_bare_tensors_are_read_as_the_configuration_says(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = torch.load(trained / "model-last.pth.tar", weights_only=True)["state_dict"]
    # Far below zero, the scores of the published form are all 0.
    state["aggregation.temporal.bias"].fill_(-100)
    torch.save(state, tmp_path / "bare.pth")
    for name in ("attention", "live_attention"):
        network = VideoReID(18, num_classes=8, aggregation=name)
        caplog.clear()
        assert load(network, tmp_path / "bare.pth", whole=True).whole
        form = "paper" if name == "attention" else "live"
        assert f"is read as not3d.attention {form}" in caplog.text
        with torch.inference_mode():
            weights = network.eval().embed(torch.rand(1, 4, 3, 64, 32)).weights
        assert bool((weights == 0.25).all()) == (name == "attention")


def test_each_form_starts_from_the_other_as_far_as_it_can(trained: Path, tmp_path: Path) -> None:
    live = VideoReID(18, num_classes=8, aggregation="live_attention")
    paper = VideoReID(18, num_classes=8)
    whole, trunk = (tmp_path / f"{name}.pth" for name in ("paper", "live"))
    for path, model in ((whole, paper), (trunk, live)):
        facts = {"architecture": "nr3d_resnet18_ibn", "aggregation": model.aggregation_name}
        torch.save({"state_dict": model.state_dict(), "facts": facts}, path)
    # The live form goes on from everything that the published one has learnt, if it lives.
    report = load(VideoReID(18, num_classes=8, aggregation="live_attention"), whole)
    assert not report.left
    assert report.differs == (
        "the file's network aggregates by attention, the model by live_attention"
    )
    # Scores that may be negative mean nothing under the last ReLU.
    report = load(VideoReID(18, num_classes=8), trunk)
    assert {key.split(".")[0] for key in report.left} == {"aggregation", "bottleneck", "classifier"}
    assert {key.split(".")[0] for key in report.loaded} == {"backbone"}


def test_an_export_says_which_attention_it_is(trained: Path, tmp_path: Path) -> None:
    name = "nr3d_resnet18_ibn.mine"
    words = ["--name", name, "--out", str(tmp_path)]
    assert main(["weights", "export", str(trained / "model-last.pth.tar"), *words]) == 0
    manifest: Any = read_yaml(tmp_path / f"{name}.yaml")
    assert "live_attention" in json.dumps(manifest)
    assert "live_attention" in (tmp_path / f"{name}.md").read_text()


def test_a_run_is_resumed_in_its_own_form_only(
    trained: Path, mars_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*LIVE, "train.max_epoch", "2", "data.save_dir", str(tmp_path / "log")]
    words += ["model.resume", str(trained / "model-last.pth.tar")]
    options = ["train", "--config", "mars", "--root", str(mars_root)]
    assert main([*options, *words, "not3d.attention", "paper"]) == 2
    printed = capsys.readouterr().err
    assert "'live_attention' (model.aggregation attention, not3d.attention live), here" in printed
    assert main([*options, *words]) == 0


def test_the_form_is_chosen_by_one_key() -> None:
    cfg = load_config("mars", ["model.aggregation", "live_attention"])
    with (
        pytest.raises(ConfigError, match=r"expected one of default, .*; set not3d.attention live"),
        opened(cfg, Command.TRAIN),
    ):
        pass


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["not3d.attention", "live"], "live_attention"),
        (["not3d.attention", "live", "model.aggregation", "attention"], "live_attention"),
        (["not3d.attention", "live", "model.aggregation", "mean"], "mean"),
        (["not3d.attention", "live", "model.name", "vkd_resnet50"], "mean"),
        (["not3d.attention", "paper"], "attention"),
    ],
)
def test_it_is_a_form_of_the_attention_only(words: list[str], name: str) -> None:
    from nr3d.runs.configuration import aggregation_in

    assert aggregation_in(load_config("mars", words)) == name
