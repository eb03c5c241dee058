"""Every published method, by its own recipe made small, through every command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nr3d.cli import main
from nr3d.config import read_yaml
from nr3d.engine import read_records
from nr3d.features import FeatureStore
from nr3d.models import ARCHITECTURES
from tests.commands import figures_of, run
from tests.engine.test_processes import ENVIRONMENT, TWO

METHODS = [
    *("vprt", "gltr", "m3d", "cosam", "scan_self", "vrstc_reid", "group_confidence"),
]

SMALL = [
    *("data.height", "32", "data.width", "16", "data.workers", "0", "video.seq_len", "2"),
    *("test.precision", "float32", "test.batch_size", "7"),
]
TRAINED = [
    *("model.pretrained", "False", "train.batch_size", "8", "sampler.num_instances", "2"),
    *("train.max_epoch", "2", "train.precision", "float32", "train.print_freq", "0"),
]


@pytest.mark.parametrize("method", METHODS)
def test_a_method_goes_through_every_command(
    method: str, mars_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"{method}_resnet18"
    data = ["--config", ARCHITECTURES[name].recipe, "--root", mars_root]
    network = ["model.name", name, *SMALL]
    log, best = tmp_path / "log", tmp_path / "log" / "model-best.pth.tar"
    train = ["train", *data, *network, *TRAINED]
    run(*train, "data.save_dir", log)
    state = torch.load(log / "model-last.pth.tar", weights_only=True)
    assert state["facts"]["architecture"] == name

    # A run that was stopped after its first epoch ends in the same weights.
    parts = [*train, "data.save_dir", tmp_path / "parts", "train.print_freq", "1"]
    run(*parts, "train.max_epoch", "1")
    run(*parts, "model.resume", tmp_path / "parts" / "model-last.pth.tar")
    again = torch.load(tmp_path / "parts" / "model-last.pth.tar", weights_only=True)
    for key, value in state["state_dict"].items():
        assert torch.equal(again["state_dict"][key], value), key

    # Tested from its weights, and from a store, as the training tested it.
    tests = [r for r in read_records(log) if r["kind"] == "test"]
    store = tmp_path / "features.h5"
    run("test", *data, "--weights", best, *SMALL, "--json", tmp_path / "test.json")
    tested = figures_of(tmp_path / "test.json")
    assert any(
        tested == {key: pytest.approx(record[key], abs=1e-6) for key in tested} for record in tests
    )
    run("extract", *data, "--weights", best, "--out", store, *SMALL)
    run("test", "--features", store, "--json", tmp_path / "store.json")
    assert figures_of(tmp_path / "store.json") == pytest.approx(tested, abs=1e-6)
    features = FeatureStore(store).load("query").features
    assert features.shape == (8, ARCHITECTURES[name](2, pretrained=False).feature_dim)

    # Published, with what its use needs.
    run("weights", "export", best, "--name", f"{name}.mine", "--out", tmp_path)
    manifest = read_yaml(tmp_path / f"{name}.mine.yaml")[f"{name}.mine"]
    assert manifest["layout"] == "nr3d"
    assert manifest["frames"] == 2
    run("models")
    assert name in capsys.readouterr().out


@pytest.mark.parametrize("method", ["gltr", "m3d", "cosam"])
def test_a_method_trains_in_two_processes_and_in_bf16(
    method: str, mars_root: Path, tmp_path: Path
) -> None:
    words = ["train", "--config", method, "--root", str(mars_root), "model.name"]
    words += [f"{method}_resnet18", *SMALL, *TRAINED, "data.save_dir", str(tmp_path / "log")]
    words += ["train.precision", "bf16", "train.sync_norms", "True", "train.max_epoch", "1"]
    done = subprocess.run(
        [sys.executable, *TWO, "-m", "nr3d", *words],
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("** Results **") == 1


def test_a_network_for_clips_of_one_length_is_not_tested_on_whole_tracklets(
    mars_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--config", "cosam", "--root", str(mars_root), *SMALL, *TRAINED]
    words += ["data.save_dir", str(tmp_path / "log")]
    assert main([*words, "not3d.test_sample_method", "whole"]) == 2
    assert "cosam_resnet50 is built for clips of one length" in capsys.readouterr().err
    assert main([*words, "video.seq_len", "1"]) == 2
    assert "frames is 1, expected at least 2" in capsys.readouterr().err
