"""The command line as its users meet it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nr3d.cli import main
from nr3d.config import Command
from nr3d.engine import read_records
from nr3d.models import ARCHITECTURES
from tests.conftest import used

SMALL = [
    "model.name",
    "nr3d_resnet18_ibn",
    "model.pretrained",
    "False",
    "data.height",
    "32",
    "data.width",
    "16",
    "train.batch_size",
    "8",
    "sampler.num_instances",
    "2",
    "video.seq_len",
    "2",
    "data.workers",
    "0",
    "train.max_epoch",
    "1",
    "not3d.warmup_epochs",
    "0",
]


def command(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``python -m nr3d`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "nr3d", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )


@pytest.fixture(scope="module")
def trained(mars_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One small run of ``nr3d train`` and what it printed."""
    folder = tmp_path_factory.mktemp("run")
    done = command(
        *("train", "--config", "mars", "--root", mars_root, "--json", folder / "train.json"),
        *(*SMALL, "data.save_dir", folder / "log"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return {"folder": folder, "done": done, "weights": folder / "log" / "model-best.pth.tar"}


def test_train_prints_its_results_and_nothing_on_standard_error(trained: dict[str, Any]) -> None:
    done = trained["done"]
    assert done.stderr == "", "no terminal: no progress bar, and no warning of torchreid's"
    for part in ("rank-1", "mAP", "** Results **", "queries counted", "model-best.pth.tar"):
        assert part in done.stdout


def test_train_writes_results_for_machines(trained: dict[str, Any]) -> None:
    content = json.loads((trained["folder"] / "train.json").read_text())
    result = content["results"]["mars"]
    assert {"rank-1", "rank-5", "rank-10", "rank-20", "mAP"} <= set(result)
    assert (result["query"], result["gallery"], result["frames"]) == (8, 8, 80)
    assert set(content["versions"]) == {"nr3d", "torchreid", "torch", "torchvision", "python"}
    assert content["seconds"] > 0
    assert content["best_rank1"] == result["rank-1"]
    tests = [r for r in read_records(trained["folder"] / "log") if r["kind"] == "test"]
    assert tests[0]["rank-1"] == result["rank-1"]


def test_test_repeats_the_trainings_figures(
    trained: dict[str, Any], mars_root: Path, tmp_path: Path
) -> None:
    done = command(
        *("test", "--config", "mars", "--root", mars_root, "--weights", trained["weights"]),
        *("--json", tmp_path / "test.json", *used(Command.TEST, SMALL)),
        *("test.visrank", "True", "test.visrank_topk", "3"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    told, loaded = done.stderr.splitlines()
    assert told.startswith(f"{trained['weights']} is tested with model.name nr3d_resnet18_ibn, ")
    assert loaded.startswith("Loaded backbone, aggregation, bottleneck, classifier (142 tensors)")
    figures = ("rank-1", "rank-5", "rank-10", "rank-20", "mAP", "frames", "clips")
    before = json.loads((trained["folder"] / "train.json").read_text())["results"]["mars"]
    after = json.loads((tmp_path / "test.json").read_text())["results"]["mars"]
    assert [after[f] for f in figures] == [before[f] for f in figures]
    assert (tmp_path / "log" / "mars" / "visrank_mars" / "ranking_001.png").is_file()


def test_resume_goes_on(trained: dict[str, Any], mars_root: Path, tmp_path: Path) -> None:
    done = command(
        *("train", "--config", "mars", "--root", mars_root, *SMALL, "train.max_epoch", "2"),
        *("data.save_dir", tmp_path, "model.resume", trained["folder"] / "log/model-last.pth.tar"),
    )
    assert done.returncode == 0, done.stderr
    assert "epoch 2/2" in done.stdout
    assert "epoch 1/2" not in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config", "nothing"], "No configuration 'nothing': give one of cosam, "),
        (["--config", "mars", "train.lrr", "1"], "Unknown key 'train.lrr'"),
        (["--config", "mars", "train.max_epoch", "few"], "'few', expected int"),
        (["--config", "mars", "--root", "/nowhere"], "There is no folder /nowhere"),
        (["--config", "mars", "--root", "{empty}"], "'mars' cannot be loaded from {empty}"),
        (
            ["--config", "mars", "--root", "{root}", "train.optim", "x"],
            "train.optim is 'x', expected",
        ),
        (["--config", "mars", "--root", "{root}"], "has 8 identities: set train.batch_size"),
        (["--config", "mars", "model.name", "osnet"], "expected one of nr3d_resnet50_ibn"),
        (["--config", "mars", "data.transforms", "blur"], "data.transforms is ['blur'], expected"),
        (["--config", "mars", "test.dist_metric", "l1"], "expected one of euclidean, cosine"),
        (["--config", "mars", "test.ranks", "[0]"], "expected ranks from 1 to 50"),
        (["--config", "mars", "model.resume", "gone.pth"], "No checkpoint at gone.pth"),
        (["--config", "mars", "loss.name", "arcface"], "loss.name is 'arcface', expected one of"),
        (
            ["--config", "mars", "video.pooling_method", "x"],
            "pooling_method is 'x', expected one of avg, max",
        ),
        (
            ["--config", "mars", "not3d.margin", "-1"],
            "not3d.margin is -1.0, expected a number from 0",
        ),
        (["--config", "mars", "not3d.metric_loss", "x"], "expected one of ranked_list, triplet"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_status_2(
    words: list[str],
    message: str,
    mars_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    places = {"empty": str(tmp_path / "empty"), "root": str(mars_root)}
    words = [word.format(**places) for word in words]
    if "--root" not in words and "nothing" not in words:
        words += ["--root", str(mars_root)]
    small = [] if "has 8 identities" in message else SMALL
    if "model.name" in words:
        small = small[2:]
    assert main(["train", *words[:2], *words[2:], *small]) == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1, err
    assert err.startswith("nr3d: error: ")
    assert message.format(**places) in err
    assert "Traceback" not in out + err


def test_a_bad_frame_is_one_line_also_from_a_worker(
    own_mars_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (own_mars_root / "mars" / "bbox_train").glob("*/*F003.jpg"):
        path.write_bytes(path.read_bytes()[:100])
    words = ["train", "--config", "mars", "--root", own_mars_root, *SMALL]
    words += ["data.save_dir", tmp_path / "log", "train.batch_size", "4", "video.seq_len", "5"]
    done = command(*words, "data.workers", "1")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert "F003.jpg of tracklet" in done.stderr
    assert "data.bad_frames" in done.stderr
    assert main([*map(str, words), "data.bad_frames", "skip"]) == 0
    assert "unreadable frames were left out:" in capsys.readouterr().out


def test_an_earlier_run_is_not_trained_over(
    trained: dict[str, Any], mars_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = trained["weights"].read_bytes()
    log = trained["folder"] / "log"
    words = ["train", "--config", "mars", "--root", mars_root, *SMALL, "data.save_dir", log]
    assert main([str(word) for word in words]) == 2
    error = capsys.readouterr().err
    assert f"{log} holds an earlier run: resume it with model.resume {log}" in error
    assert trained["weights"].read_bytes() == before


def test_debug_shows_the_traceback() -> None:
    done = command("train", "--debug", "--config", "mars", "--root", "/nowhere")
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    assert "There is no folder /nowhere" in done.stderr


def test_a_folder_that_cannot_be_written_is_one_line(
    mars_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    words = ["train", "--config", "mars", "--root", str(mars_root), *SMALL]
    assert main([*words, "data.save_dir", str(tmp_path / "file" / "log")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert str(tmp_path / "file") in error


def test_pairs_may_stand_between_options(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--config", "mars", "train.lr", "1", "--root", "/nowhere", "test.eval_freq"]
    assert main([*words, "-1"]) == 2
    assert "There is no folder /nowhere" in capsys.readouterr().err
    for wrong in (["train", "--config", "mars", "--what", "1"], ["models", "x"]):
        with pytest.raises(SystemExit) as caught:
            main(wrong)
        assert caught.value.code == 2
        assert "unrecognized arguments" in capsys.readouterr().err


def test_models_lists_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    printed = capsys.readouterr().out
    for architecture in ARCHITECTURES.values():
        assert architecture.name in printed
        assert f"{architecture.parameters:,}" in printed
    assert "Any image network of torchreid works as well" in printed
    assert "osnet_x1_0" in printed
    assert "hacnn" not in printed


def test_the_console_command_is_the_module(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("nr3d")
    assert script.is_file(), "the package is not installed: pip install -e '.[test]'"
    for program in ([str(script)], [sys.executable, "-m", "nr3d"]):
        done = subprocess.run(
            [*program, "--version"], capture_output=True, text=True, check=True, cwd=tmp_path
        )
        assert done.stdout.startswith("nr3d 0.")


def test_synthesize_draws_what_the_synthetic_config_trains_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawing = ["synthesize", "--out", str(tmp_path), "--seed", "3", "--identities"]
    assert main([*drawing, "8"]) == 0
    assert "4 people to train" in capsys.readouterr().out
    words = ["train.max_epoch", "1", "train.batch_size", "8", "data.height", "32"]
    words += ["data.width", "16", "data.save_dir", str(tmp_path / "log")]
    assert main(["train", "--config", "synthetic", "--root", str(tmp_path), *words]) == 0
    assert main([*drawing, "10"]) == 2
    assert str(tmp_path / "mars") in capsys.readouterr().err


def test_footage_trains_and_tests(footage: Path, tmp_path: Path) -> None:
    words = ["--config", "synthetic", "--root", str(footage)]
    words += ["data.save_dir", str(tmp_path / "log")]
    assert main(["train", *words, "train.max_epoch", "2"]) == 0
    weights = ["--weights", str(tmp_path / "log" / "model-best.pth.tar")]
    report = tmp_path / "out.json"
    assert main(["test", *words, *weights, "test.visrank", "True", "--json", str(report)]) == 0
    result = json.loads(report.read_text())["results"]["mars"]
    assert (result["query"], result["gallery"]) == (8, 24)
    assert (tmp_path / "log" / "visrank_mars" / "ranking_001.png").is_file()
