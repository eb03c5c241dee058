"""``train``, ``test``, ``extract`` and ``weights export`` say whether an attention is flat."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from nr3d.cli import main
from nr3d.config import read_yaml
from nr3d.engine import LAST, read_records
from nr3d.errors import FeatureStoreError, WeightsError
from nr3d.features import FeatureStore, FeatureWriter, Origin, Row
from nr3d.runs.testing import evaluate_features
from nr3d.weights import entry_of, read_checkpoint
from nr3d.weights.checkpoint import write_checkpoint
from tests.attentions import saved

SMALL = [
    *("--config", "synthetic", "model.name", "nr3d_resnet18_ibn"),
    *("model.aggregation", "attention", "not3d.attention", "paper", "data.height", "32"),
    *("data.width", "16", "data.workers", "0", "video.seq_len", "2", "test.precision", "float32"),
]
TRAINING = [
    *("sampler.num_instances", "2", "train.batch_size", "16", "train.max_epoch", "1"),
    *("train.optim", "sgd", "train.lr", "1e-6", "train.precision", "float32"),
]


def flat_lines(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if line.startswith("attention: flat")]


@pytest.fixture(scope="module")
def flat_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("weights") / "flat.pth", "flat")


@pytest.fixture(scope="module")
def trained(mars_root: Path, flat_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training whose attention was flat from the start."""
    out = tmp_path_factory.mktemp("run") / "log"
    words = [*SMALL, *TRAINING, "--root", mars_root, "data.save_dir", out]
    words += ["model.load_weights", flat_weights, "--json", out.parent / "train.json"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["train", *map(str, words)]) == 0
    (out.parent / "train.txt").write_text(printed.getvalue(), encoding="utf-8")
    return out


def test_a_training_says_it_once(trained: Path) -> None:
    printed = (trained.parent / "train.txt").read_text(encoding="utf-8")
    assert "  attention 100% flat  lr " in printed
    (line,) = flat_lines(printed)
    assert line == (
        "attention: flat for the whole of epoch 1: all frames of a clip have the same weight, so "
        "that the features are those of model.aggregation mean. Set not3d.attention live or, if it "
        "is set, another not3d.attention_lr_mult."
    )


def test_a_training_leaves_it_in_its_result_and_checkpoint(trained: Path) -> None:
    (record,) = [r for r in read_records(trained) if r["kind"] == "epoch"]
    assert record["attention_flat"] == 1
    flat = {"state": "flat", "flat": 1.0, "largest": pytest.approx(0.5)}
    for path in (trained / "result.json", trained.parent / "train.json"):
        result = json.loads(path.read_text())["results"]["mars"]
        assert result["attention"] == flat
        assert result["protocols"]["torchreid"]["attention"] == flat
    assert read_checkpoint(trained / LAST)["facts"]["attention"] == "flat"


def test_a_test_says_it_in_one_line(
    mars_root: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The facts of these weights say it too.
    out = tmp_path / "test.json"
    words = [*SMALL, "--root", mars_root, "--weights", trained / LAST, "--json", out]
    assert main(["test", *map(str, words), "data.save_dir", str(tmp_path)]) == 0
    (line,) = flat_lines(capsys.readouterr().out)
    assert "in 100% of the clips" in line
    attention = json.loads(out.read_text())["results"]["mars"]["attention"]
    assert attention == {"state": "flat", "flat": 1.0, "largest": pytest.approx(0.5)}


def test_facts_say_it_where_the_test_cannot(
    mars_root: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SMALL, "--root", mars_root, "--weights", trained / LAST, "video.seq_len", "1"]
    assert main(["test", *map(str, words), "data.save_dir", str(tmp_path)]) == 0
    (line,) = flat_lines(capsys.readouterr().out)
    assert "by the record of the weights" in line


@pytest.mark.parametrize("state", ["flat", "alive"])
def test_an_extraction_says_it_and_its_store_holds_it(
    mars_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    weights, store = saved(tmp_path / f"{state}.pth", state), tmp_path / "f.h5"
    words = [*SMALL, "--root", mars_root, "--weights", weights, "--split", "query,gallery"]
    words += ["--out", store, "--json", tmp_path / "extract.json"]
    assert main(["extract", *map(str, words)]) == 0
    assert len(flat_lines(capsys.readouterr().out)) == (1 if state == "flat" else 0)
    done = json.loads((tmp_path / "extract.json").read_text())
    assert done["counts"] == {"query": 8, "gallery": 8}
    assert done["path"] == str(store)
    attention = done["attention"]
    assert attention["state"] == state
    # Two clips of two frames each; the fifth frame is alone in its clip.
    assert attention["flat"] == (1 if state == "flat" else 0)
    assert attention["largest"] == pytest.approx(0.5 if state == "flat" else 1, abs=0.1)
    with h5py.File(store) as file:
        assert json.loads(file["frame_weights"].attrs["attention"]) == attention
    found = FeatureStore(store).attention
    assert found is not None
    assert found.summary() == attention

    command = ["test", "--features", str(store), "--json", str(tmp_path / "test.json")]
    assert main(command) == 0
    assert len(flat_lines(capsys.readouterr().out)) == (1 if state == "flat" else 0)
    result = json.loads((tmp_path / "test.json").read_text())["results"]["mars"]
    assert result["attention"] == attention

    # A store of an earlier release has no such attribute; its weights tell.
    with h5py.File(store, "r+") as file:
        attributes = file["frame_weights"].attrs
        del attributes["attention"], attributes["attention_crc32"]
    again = FeatureStore(store).attention
    assert again is not None
    assert again.summary() == attention
    assert evaluate_features(store)["torchreid"].attention == again


ORIGIN = Origin(
    dataset="mars",
    weights="model.pth",
    weights_sha256="ab" * 32,
    settings={
        "model": "nr3d_resnet18_ibn",
        "aggregation": "default",
        "seq_len": 4,
        "sample_method": "dense",
    },
    config={},
    versions={},
    tracklets={"train": 0, "query": 2, "gallery": 0},
)


def store_of(path: Path, *shares: list[float], **settings: Any) -> FeatureStore:
    """Write a store of tracklets with these frame weights."""
    origin = replace(ORIGIN, settings={**ORIGIN.settings, **settings})
    with FeatureWriter(path, origin, ["query"]) as writer:
        for index, each in enumerate(shares):
            weights = np.array(each, np.float32)
            clips = (len(each) + 3) // 4
            writer.append(Row("query", index, 0, 0, "a.jpg", np.ones(8), clips, weights))
    return FeatureStore(path)


def test_the_clips_of_a_store_are_judged_by_its_settings(tmp_path: Path) -> None:
    # Two clips; the two frames of the second are repeated to fill it, and so have half of it each.
    even, uneven = [0.25] * 4 + [0.5] * 2, [0.1, 0.2, 0.3, 0.4]
    found = store_of(tmp_path / "f.h5", even, uneven).attention
    assert found is not None
    assert found.flat == pytest.approx(2 / 3)
    assert found.largest == pytest.approx((0.25 + 0.25 + 0.4) / 3)
    assert store_of(tmp_path / "mean.h5", even, aggregation="mean").attention is None
    assert store_of(tmp_path / "other.h5", even, aggregation="nobodys").attention is None
    assert store_of(tmp_path / "model.h5", even, model="nobodys").attention is None
    nothing = store_of(tmp_path / "nothing.h5", []).load("query").attention
    assert nothing is not None
    assert nothing.clips == 0
    single = store_of(tmp_path / "single.h5", [1.0], [1.0])
    assert single.attention is None
    with h5py.File(single.path) as file:
        assert not file["frame_weights"].attrs


def test_a_changed_record_is_refused(tmp_path: Path) -> None:
    path = store_of(tmp_path / "f.h5", [0.25] * 4).path
    with h5py.File(path, "r+") as file:
        attributes = file["frame_weights"].attrs
        text = attributes["attention"]
        attributes.modify("attention", np.bytes_(text.replace(b"1.0", b"0.0")))
    with pytest.raises(FeatureStoreError, match="its attention does not fit its CRC-32"):
        _ = FeatureStore(path).attention


NAME = "nr3d_resnet18_ibn.mine"


def test_an_export_states_it_in_manifest_and_card(
    trained: Path,
    tmp_path: Path,
    no_weights: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert entry_of(trained / LAST).attention == "flat"  # type: ignore[union-attr]
    words = ["weights", "export", str(trained / LAST), "--name", NAME, "--out", str(tmp_path)]
    assert main(words) == 0
    manifest = tmp_path / f"{NAME}.yaml"
    content = read_yaml(manifest)
    assert content[NAME]["attention"] == "flat"
    assert "| attention | flat: all frames of a clip have the same weight" in (
        tmp_path / f"{NAME}.md"
    ).read_text(encoding="utf-8")
    assert entry_of(tmp_path / f"{NAME}.safetensors").attention == "flat"  # type: ignore[union-attr]
    assert main(["weights", "add", str(manifest)]) == 0
    listing = tmp_path / "list.json"
    assert main(["weights", "list", "--json", str(listing)]) == 0
    assert json.loads(listing.read_text())[NAME]["attention"] == "flat"

    # A manifest of an earlier release lacks the field; one with another word is refused.
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace("  attention: flat\n", ""), encoding="utf-8")
    assert main(["weights", "add", str(manifest), "--replace"]) == 0
    assert entry_of(NAME).attention is None  # type: ignore[union-attr]
    manifest.write_text(text.replace("attention: flat", "attention: dead"), encoding="utf-8")
    capsys.readouterr()
    assert main(["weights", "add", str(manifest), "--replace"]) == 2
    assert "field attention is 'dead', expected one of flat, alive" in capsys.readouterr().err


def test_the_facts_of_an_earlier_release_say_nothing(trained: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(trained / LAST)
    del checkpoint["facts"]["attention"]
    write_checkpoint(checkpoint, tmp_path / "old.pth.tar")
    assert entry_of(tmp_path / "old.pth.tar").attention is None  # type: ignore[union-attr]
    checkpoint["facts"]["attention"] = 3
    write_checkpoint(checkpoint, tmp_path / "bad.pth.tar")
    with pytest.raises(WeightsError, match="field attention is 3, expected one of flat, alive"):
        entry_of(tmp_path / "bad.pth.tar")
