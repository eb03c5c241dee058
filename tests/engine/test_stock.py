"""torchreid's own engines, driven from a configuration, against the same engines by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nr3d.cli import main
from nr3d.engine import BEST, LAST, STOCK_ENGINES, read_records
from nr3d.host import torchreid
from nr3d.weights import read_checkpoint

KEYS: dict[str, Any] = {
    "engine": "torchreid",
    "model.pretrained": False,
    "data.height": 32,
    "data.width": 16,
    "data.workers": 0,
    "data.transforms": "[random_flip]",
    "sampler.num_instances": 2,
    "video.seq_len": 2,
    "video.sample_method": "evenly",
    "train.batch_size": 8,
    "train.max_epoch": 2,
    "train.lr": 1e-3,
    "train.lr_scheduler": "multi_step",
    "train.stepsize": "[1]",
    "train.gamma": 0.1,
    "test.ranks": "[1, 2, 10]",
}


def words(root: Path, out: Path, loss: str, **changes: Any) -> list[str]:
    keys = {**KEYS, "loss.name": loss, "data.save_dir": out}
    keys |= {key.replace("__", "."): value for key, value in changes.items()}
    pairs = [str(word) for pair in keys.items() for word in pair]
    return ["train", "--config", "synthetic", "--root", str(root), *pairs]


@pytest.fixture(scope="module")
def noisy_root(mars_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn MARS with people to test whom nothing tells apart, so that no figure is 1."""
    root = tmp_path_factory.mktemp("noisy") / "data"
    shutil.copytree(mars_root, root)
    rng = np.random.default_rng(3)
    for frame in sorted((root / "mars" / "bbox_test").rglob("*.jpg")):
        Image.fromarray(rng.integers(0, 255, (64, 32, 3), np.uint8)).save(frame)
    return root


def by_hand(root: Path, out: Path, loss: str) -> tuple[Any, tuple[float, float]]:
    """Run torchreid's engine as its users write it; gives the model, and rank-1 and mAP."""
    torchreid.utils.set_random_seed(1)
    data = torchreid.data.VideoDataManager(
        root=str(root),
        sources="mars",
        height=32,
        width=16,
        transforms=["random_flip"],
        batch_size_train=8,
        batch_size_test=4,
        workers=0,
        num_instances=2,
        train_sampler="RandomIdentitySampler",
        seq_len=2,
    )
    model = torchreid.models.build_model("nr3d_resnet18_ibn", 8, loss, pretrained=False)
    optimizer = torchreid.optim.build_optimizer(model, lr=1e-3, adam_beta2=0.999)
    scheduler = torchreid.optim.build_lr_scheduler(optimizer, "multi_step", stepsize=[1], gamma=0.1)
    name = {"softmax": "VideoSoftmaxEngine", "triplet": "VideoTripletEngine"}[loss]
    options = {"weight_t": 1.0, "weight_x": 0.5} if loss == "triplet" else {}
    engine = getattr(torchreid.engine, name)(data, model, optimizer, scheduler=scheduler, **options)
    engine.run(save_dir=str(out), max_epoch=2, print_freq=100, ranks=[1])
    loaders = data.test_loader["mars"]
    figures = engine._evaluate("mars", loaders["query"], loaders["gallery"], ranks=[1])
    return model, figures


@pytest.mark.parametrize("loss", ["softmax", "triplet"])
def test_the_command_trains_and_tests_as_torchreids_engine_by_hand(
    noisy_root: Path, tmp_path: Path, loss: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    changes = {"loss__triplet__weight_x": 0.5, "not3d__attention": "paper"}
    assert main(words(noisy_root, out, loss, **changes)) == 0
    printed = capsys.readouterr().out
    model, (rank1, mean_precision) = by_hand(noisy_root, tmp_path / "hand", loss)
    checkpoint = read_checkpoint(out / LAST)
    for name, value in model.state_dict().items():
        assert torch.equal(value, checkpoint["state_dict"][name]), name

    found = json.loads((out / "result.json").read_text())["results"]["mars"]
    assert 0 < rank1 < 1
    assert found["rank-1"] == pytest.approx(rank1, abs=1e-6)
    assert found["mAP"] == pytest.approx(mean_precision, abs=1e-6)
    assert {"rank-2", "rank-10"} <= set(found)
    assert (found["query"], found["gallery"], found["protocol"]) == (8, 8, "torchreid")
    assert f"mAP: {mean_precision:.1%}" in printed
    assert "=> Final test" in printed
    assert [r["kind"] for r in read_records(out)] == ["epoch", "epoch", "test"]
    # Torchreid's own folder of checkpoints is not there: the run leaves what nr3d's leave.
    assert {BEST, LAST, "result.json", "metrics.jsonl"} <= {path.name for path in out.iterdir()}
    assert not (out / "model").exists()
    facts = checkpoint["facts"]
    assert (facts["frames"], facts["input_size"], facts["trained_on"]) == (2, [32, 16], ["mars"])
    assert facts["results"]["mars"]["rank-1"] == found["rank-1"]


def test_its_weights_are_tested_and_extracted(
    mars_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    # No scheduler, which torchreid's own save_model fails with, and no line between the epochs.
    changes = {"train__lr_scheduler": "none", "train__print_freq": 0, "train__max_epoch": 1}
    assert main(words(mars_root, out, "softmax", **changes)) == 0
    common = ["--config", "synthetic", "--root", str(mars_root), "--weights", str(out / BEST)]
    assert main(["test", *common, "data.save_dir", str(tmp_path / "test")]) == 0
    assert "rank-1" in capsys.readouterr().out
    store = tmp_path / "features.h5"
    assert main(["extract", *common, "--out", str(store)]) == 0
    assert store.is_file()


def test_a_resumed_run_of_torchreids_engine_equals_an_uninterrupted_one(
    mars_root: Path, tmp_path: Path
) -> None:
    changes = {"test__eval_freq": 1}
    assert main(words(mars_root, tmp_path / "whole", "softmax", **changes)) == 0
    half = tmp_path / "half"
    assert main(words(mars_root, half, "softmax", **changes, train__max_epoch=1)) == 0
    rest = {**changes, "model__resume": half / LAST}
    assert main(words(mars_root, half, "softmax", **rest)) == 0
    one, other = (read_checkpoint(tmp_path / run / LAST) for run in ("whole", "half"))
    assert one["epoch"] == other["epoch"] == 2
    for name, value in one["state_dict"].items():
        assert torch.equal(value, other["state_dict"][name]), name
    kinds = [r["kind"] for r in read_records(half)]
    assert kinds == ["epoch", "test", "epoch", "test"]


@pytest.mark.parametrize(
    ("loss", "changes", "told"),
    [
        ("not3d", {}, "loss.name is 'not3d' and engine is 'torchreid', expected one of softmax"),
        ("softmax", {"train__precision": "bf16"}, "train.precision is 'bf16', expected 'auto' or"),
        ("softmax", {"train__compile": True}, "train.compile is True, expected False"),
        ("softmax", {"train__accumulation_steps": 2}, "train.accumulation_steps is 2, expected 1"),
        ("softmax", {"train__checkpoint_steps": 5}, "train.checkpoint_steps is 5, expected 0"),
        (
            "triplet",
            {"video__sample_method": "restricted", "data__bad_frames": "skip"},
            "data.bad_frames is 'skip', expected 'error'; video.sample_method is 'restricted', "
            "expected 'evenly' or 'random'): set these so, or engine nr3d",
        ),
        ("softmax", {"test__protocol": "ap3d"}, "test.protocol is 'ap3d', expected 'torchreid'"),
        ("softmax", {"engine": "keras"}, "engine is 'keras', expected one of nr3d, torchreid"),
    ],
)
def test_what_torchreids_engines_cannot_do_is_refused_by_name(
    mars_root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    loss: str,
    changes: dict[str, Any],
    told: str,
) -> None:
    out = tmp_path / "run"
    assert main(words(mars_root, out, loss, **changes)) == 2
    assert told in capsys.readouterr().err
    assert not out.exists()


def test_a_dry_run_is_of_nr3ds_engine(
    mars_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words(mars_root, tmp_path / "run", "softmax"), "--dry-run"]) == 2
    assert "--dry-run rehearses nr3d's engine alone" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_point_within_an_epoch_is_not_resumed(mars_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert main(words(mars_root, out, "softmax", train__max_epoch=1)) == 0
    checkpoint = read_checkpoint(out / LAST)
    torch.save(checkpoint | {"step": 2}, out / LAST)
    assert main(words(mars_root, out, "softmax", model__resume=out / LAST)) == 2


def test_there_is_an_engine_for_each_of_torchreids_video_losses() -> None:
    for loss, engine in STOCK_ENGINES.items():
        assert issubclass(engine, getattr(torchreid.engine, f"Video{loss.capitalize()}Engine"))
