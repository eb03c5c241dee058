"""``nr3d zoo``: the tables, trainings by the same rules, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from nr3d.cli import main
from nr3d.errors import ConfigError
from nr3d.zoo import Trained, as_html, as_markdown, measure, method_of, plan_of, rows_of
from nr3d.zoo.plot import draw

TINY = [
    *("train.max_epoch", "1", "train.batch_size", "8", "sampler.num_instances", "2"),
    *("train.precision", "float32", "test.precision", "float32", "data.workers", "0"),
]


def test_the_table_is_printed_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {kind: tmp_path / f"zoo.{kind}" for kind in ("md", "html", "json")}
    words = ["zoo", "--markdown", str(files["md"]), "--html", str(files["html"])]
    assert main([*words, "--json", str(files["json"])]) == 0
    printed = capsys.readouterr().out
    assert files["md"].read_text() == printed
    for cell in ("171.92", "1213.83", "89.62 (84.61) [t]", "split 0 only", "97.75 [t]"):
        assert cell in printed
        assert cell in files["html"].read_text()
    content: Any = json.loads(files["json"].read_text())
    assert content["methods"][0]["method"] == "not3d"
    assert content["methods"][1]["costs"]["parameters"] == 76_173_377
    assert content["methods"][1]["reported"][0]["rank1"] == 0.886


def test_html_and_markdown_escape_what_they_hold() -> None:
    trained = [Trained("<b>|", "mars", (0.5,), (0.25,), (0,))]
    rows = rows_of([method_of("nr3d_resnet18")])
    assert "&lt;b&gt;|" in as_html(rows, trained)
    assert "<b>\\|" in as_markdown(rows, trained)


def test_mean_and_deviation() -> None:
    trained = Trained("gltr", "mars", (0.5, 0.6), (0.25,), (0, 1))
    assert trained.text(trained.rank1) == "55.0 ± 7.1"
    assert trained.text(trained.mAP) == "25.0"


def test_a_network_is_measured() -> None:
    found = measure("nr3d_resnet18", 2, 32, 16, aggregation="mean", use_gpu=False)
    assert found.clips_a_second > 0
    assert found.device == "cpu"
    # With its gradients and moments, a network takes four times its 45 MiB in training.
    if found.training_mib is not None and found.inference_mib is not None:
        assert found.training_mib > 4 * 40 > found.inference_mib


def test_methods_are_trained_by_the_same_rules_once(
    mars_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "zoo"
    words = ["zoo", "--train", "synthetic", "--root", str(mars_root), "--out", str(out)]
    words += ["--small", "--scale", "0.125", "--methods", "gltr,cosam", "--seeds", "0,1"]
    assert main([*words, *TINY, "--json", str(tmp_path / "zoo.json")]) == 0
    first = capsys.readouterr().out
    assert first.count("epoch 1/1") == 4
    trained = json.loads((tmp_path / "zoo.json").read_text())["trained"]
    assert [(row["method"], row["seeds"]) for row in trained] == [
        ("gltr", [0, 1]),
        ("cosam", [0, 1]),
    ]
    result = json.loads((out / "gltr" / "seed1" / "result.json").read_text())
    assert result["results"]["mars"]["rank-1"] == trained[0]["rank1"][1]
    config = result["config"]
    assert config["model"]["name"] == "gltr_resnet18"
    assert (config["data"]["height"], config["data"]["width"]) == (32, 16)
    assert (config["video"]["seq_len"], config["not3d"]["test_sample_method"]) == (16, "whole")
    assert (config["loss"]["name"], config["train"]["optim"]) == ("softmax", "adam")
    assert "| GLTR | gltr_resnet18 | 16 × 32×16 |" in first

    # What is finished is not repeated; a third method is added to it.
    assert main([*words, *TINY, "--json", str(tmp_path / "again.json")]) == 0
    assert "epoch 1/1" not in capsys.readouterr().out
    assert json.loads((tmp_path / "again.json").read_text())["trained"] == trained
    assert main([*words, *TINY, "train.lr", "0.5"]) == 2
    assert "holds a run that was made with other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--methods", "nothing"], "There is no method 'nothing', expected one of not3d, vprt"),
        (["--small"], "--small without --train"),
        (["--train", "synthetic", "--seeds", "0,x"], "--seeds is '0,x', expected whole numbers"),
        (["train.lr", "0.1"], "KEY VALUE pairs without --train"),
        (["--train", "synthetic", "--scale", "2"], "scale is 2, expected a factor above 0"),
        (["--train", "synthetic", "--methods", "vkd_resnet50", "train.lr"], "no value"),
        (["--train", "synthetic", "test.rerank", "True"], "nr3d train does not use test.rerank"),
    ],
)
def test_what_cannot_be_done_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["zoo", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_plan_is_the_common_configuration_with_the_methods_own_parts(tmp_path: Path) -> None:
    gltr = plan_of(method_of("gltr"), 3, "synthetic", tmp_path, ["train.lr", "0.5"])
    assert (gltr.data.height, gltr.data.width, gltr.video.seq_len) == (256, 128, 16)
    assert (gltr.train.seed, gltr.train.lr, gltr.train.max_epoch) == (3, 0.5, 9)
    assert gltr.data.save_dir == str(tmp_path / "gltr" / "seed3")
    assert plan_of(method_of("vprt"), 0, "synthetic", tmp_path).loss.name == "vprt"
    with pytest.raises(ConfigError, match="has no smaller network"):
        method = method_of("gltr")
        plan_of(type(method)("x", "x", "gltr_resnet50"), 0, "synthetic", tmp_path, small=True)


def test_the_plot_is_drawn_or_refused_before_the_trainings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    words = ["zoo", "--train", "synthetic", "--root", "nowhere", "--plot", str(tmp_path / "p.svg")]
    assert main(words) == 2
    assert "The plot needs Matplotlib: pip install matplotlib" in capsys.readouterr().err


def test_the_plot_has_every_method() -> None:
    pytest.importorskip("matplotlib")
    rows = rows_of([method_of("gltr"), method_of("cosam")])
    trained = [Trained(key, "mars", (0.5, 0.6), (0.3, 0.4), (0, 1)) for key in ("gltr", "cosam")]
    page = draw(rows, trained)
    assert page.count("<!-- GLTR -->") == page.count("<!-- COSAM -->") == 1
