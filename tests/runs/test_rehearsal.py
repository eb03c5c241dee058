"""A rehearsal of a run: what it tells, and that it writes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nr3d.cli import main
from nr3d.config import as_mapping, load_config
from nr3d.engine import BEST, LAST
from nr3d.runs import building, rehearsal
from nr3d.runs.rehearsal import rehearse
from nr3d.runs.transfer import load_plan
from tests.conftest import finished

SMALL = [
    *("model.pretrained", "False", "data.height", "32", "data.width", "16"),
    *("train.batch_size", "8", "sampler.num_instances", "2", "video.seq_len", "2"),
    *("train.max_epoch", "25", "test.eval_freq", "10", "data.workers", "0"),
]


def test_it_tells_what_a_run_takes_and_writes_nothing(
    mars_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, file = tmp_path / "out", tmp_path / "found.json"
    words = ["--config", "synthetic", "--root", str(mars_root), *SMALL]
    words += ["data.save_dir", str(out), "--json", str(file)]
    assert main(["train", "--dry-run", *words]) == 0
    found = json.loads(file.read_text())["run"]
    assert (found["tracklets"], found["identities"], found["batches"]) == (32, 8, 4)
    assert (found["test_tracklets"], found["test_frames"]) == (16, 80)
    assert (found["epochs"], found["tests"]) == (25, 3)  # after 10, 20 and the last
    assert found["seconds"] == pytest.approx(
        25 * found["epoch_seconds"] + 3 * found["test_seconds"]
    )
    # In one process a batch is made, then computed.
    in_turn = found["step_seconds"] + found["batch_seconds"]
    assert found["epoch_seconds"] == pytest.approx(4 * in_turn)
    assert found["losses"]["loss"] > 0
    # ResNet-18's 24 million parameters with Adam's two moments, in float32.
    assert 200 * 2**20 < found["checkpoint_bytes"] < 300 * 2**20
    assert 2**28 < found["memory_bytes"] < found["memory_total_bytes"]
    assert not out.exists()
    printed = capsys.readouterr().out
    for part in ("32 tracklets of 8 people", "Time:     about", "25 epochs and 3 tests", "Disk:"):
        assert part in printed


def test_the_public_codes_recipe_is_rehearsed(mars_root: Path) -> None:
    words = ["data.root", str(mars_root), *SMALL, "model.name", "nr3d_resnet18_ibn"]
    found = rehearse(load_config("mars_reference", [*words, "not3d.max_test_clips", "2"]))
    assert found.batches == 2  # of 4 of the 8 identities
    assert found.test_frames == 16 * 4  # of 5 each


def test_a_run_that_goes_on_takes_what_is_left(mars_root: Path, tmp_path: Path) -> None:
    last = tmp_path / "model-last.pth.tar"
    words = ["data.root", str(mars_root), *SMALL, "data.save_dir", str(tmp_path)]
    words += ["train.optim", "sgd", "model.resume", str(last)]
    cfg = load_config("synthetic", words)
    data = building.build_datamanager(cfg)
    model = building.build_model(cfg, data.num_train_pids, training=True)
    building.build_engine(cfg, data, model).save_model(11, None, str(tmp_path))
    found = rehearse(cfg)
    assert (found.epochs, found.tests) == (13, 2)  # after 20 and the last
    found = rehearse(load_config("synthetic", [*words, "train.max_epoch", "12"]))
    assert (found.epochs, found.tests) == (0, 1)


def test_loader_processes_overlap_with_the_steps(mars_root: Path) -> None:
    cfg = load_config("synthetic", ["data.root", str(mars_root), *SMALL, "data.workers", "1"])
    found = rehearse(cfg)
    assert found.epoch_seconds == pytest.approx(4 * max(found.step_seconds, found.batch_seconds))


def test_both_stages_of_a_transfer_are_rehearsed(
    mars_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--config", "mars", "--root", str(mars_root), *SMALL, "transfer.config", "mars"]
    words += ["model.name", "nr3d_resnet18_ibn", "data.save_dir", str(tmp_path / "out")]
    words += ["transfer.save_dir", str(tmp_path / "first")]
    assert main(["train", "--dry-run", *words]) == 0
    printed = capsys.readouterr().out
    assert printed.index("What is trained first:") < printed.index("Then:")
    assert printed.count("Time:     about") == 2
    assert list(tmp_path.iterdir()) == []


def test_what_would_stop_the_run_stops_the_rehearsal(
    own_mars_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--config", "synthetic", "--root", str(own_mars_root), *SMALL]
    words += ["train.batch_size", "4"]
    for frame in sorted((own_mars_root / "mars" / "bbox_test").rglob("*.jpg")):
        frame.write_bytes(b"not an image")
    assert main(["train", "--dry-run", *words]) == 2
    assert "is not an image" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["train.fixbase_epoch", "1", "train.open_layers", "[fc]"], "train.open_layers is ['fc']"),
        (["train.staged_lr", "True", "train.new_layers", "[fc]"], "train.new_layers is ['fc']"),
        (["data.save_dir", "{file}/log"], "{file} is no folder: give another data.save_dir"),
        (["data.save_dir", "{file}"], "{file} is no folder: give another data.save_dir"),
        (["data.save_dir", "{base}/" + "x" * 300], "cannot be written (File name too long"),
        (["test.visrank", "True"], "nr3d train does not use test.visrank"),
        (["--splits", "0"], "'mars' has no splits to choose from"),
    ],
)
def test_what_the_run_refuses_the_rehearsal_refuses(
    wrong: list[str],
    told: str,
    mars_root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    places = {"file": str(file), "base": str(tmp_path)}
    words = ["--config", "synthetic", "--root", str(mars_root), *SMALL]
    words += ["data.save_dir", str(tmp_path / "out"), *(word.format(**places) for word in wrong)]
    found = []
    for rehearsed in (["--dry-run"], []):
        assert main(["train", *rehearsed, *words]) == 2
        found.append(capsys.readouterr().err)
    assert told.format(**places) in found[0]
    assert found[0] == found[1]
    assert list(tmp_path.iterdir()) == [file]


def test_a_finished_first_part_is_not_rehearsed(
    mars_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["data.root", str(mars_root), *SMALL, "transfer.config", "synthetic"]
    words += ["data.save_dir", str(tmp_path / "out"), "transfer.save_dir", str(tmp_path / "first")]
    plan = load_plan("synthetic", words)
    seen: list[Any] = []
    monkeypatch.setattr(rehearsal, "rehearse_run", lambda run, anew: seen.append(run.cfg))
    assert plan.first is not None
    assert set(rehearsal.rehearse_plan(plan)) == {"first", "run"}
    assert seen[0].model.load_weights == ""
    # Cut off: it goes on, as the run does.
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / LAST).touch()
    assert set(rehearsal.rehearse_plan(plan)) == {"first", "run"}
    assert seen[3].model.resume == str(tmp_path / "first" / LAST)
    result = finished(as_mapping(plan.first))
    (tmp_path / "first" / "result.json").write_text(json.dumps(result))
    assert set(rehearsal.rehearse_plan(plan)) == {"run"}
    assert seen[4].model.load_weights == str(tmp_path / "first" / BEST)


def test_a_split_that_was_cut_off_is_rehearsed_as_it_is_run(
    prid_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--config", "prid2011", "--root", str(prid_root), *SMALL, "--dry-run"]
    words += ["model.name", "nr3d_resnet18_ibn", "train.batch_size", "4"]
    # A run that ended before its first checkpoint.
    left = tmp_path / "out" / "split0" / "metrics.jsonl"
    left.parent.mkdir(parents=True)
    left.write_text('{"kind": "epoch", "epoch": 1}\n')
    assert main(["train", *words, "--splits", "0", "data.save_dir", str(tmp_path / "out")]) == 0
    assert "Time:     about" in capsys.readouterr().out
    # Alone it is a run that nobody asked to train over.
    assert main(["train", *words, "data.save_dir", str(left.parent)]) == 2
    assert "holds an earlier run without its last checkpoint" in capsys.readouterr().err
    assert [file.name for file in left.parent.iterdir()] == [left.name]
