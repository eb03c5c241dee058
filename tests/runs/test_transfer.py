"""Networks that start from another dataset's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from nr3d.cli import main
from nr3d.config import as_mapping, load_config
from nr3d.engine import BEST, LAST, VideoNot3DEngine, loop
from nr3d.errors import ConfigError, Nr3dError
from nr3d.runs import transfer
from nr3d.runs.rehearsal import rehearse_plan
from nr3d.runs.transfer import load_plan, train_plan
from nr3d.weights import read_checkpoint
from tests.conftest import finished
from tests.runs.conftest import changes


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([], r"the file is \[\]"),
        (5, "the file is 5"),
        ({}, "it has no model"),
        ({"results": {"prid2011": {"rank-1": 0.5, "mAP": 0.5}}}, "results has no mars"),
        ({"results": {"mars": {"rank-1": 0.5, "mAP": 0.5}}}, "results of mars has no rank-5"),
        ({"config": None}, "has no config"),
    ],
)
def test_a_damaged_result_of_what_is_trained_first_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Any, told: str
) -> None:
    first, out = tmp_path / "first", tmp_path / "out"
    first.mkdir()
    words = ["transfer.save_dir", str(first), "data.save_dir", str(out)]
    if content:
        made = load_plan("prid2011_from_mars", words).first
        assert made is not None
        whole = finished(as_mapping(made))
        content = {**whole, **content} if isinstance(content, dict) else content
        if content == {**whole, "config": None}:
            del content["config"]
    (first / "result.json").write_text(json.dumps(content))
    assert main(["train", "--config", "prid2011_from_mars", *words]) == 2
    error = capsys.readouterr().err
    assert re.search(told, error) and str(first / "result.json") in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_a_transfer_trains_the_first_and_starts_from_its_best(
    reid_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, out = tmp_path / "first", tmp_path / "out"
    words = changes(reid_data, out, "transfer.save_dir", str(first))
    plan = load_plan("prid2011_from_mars", words)
    starts: list[dict[str, torch.Tensor]] = []
    begin = loop.begin

    def beginning(engine: VideoNot3DEngine, *args: Any, **kwargs: Any) -> None:
        starts.append({k: v.clone() for k, v in engine.model.state_dict().items()})
        begin(engine, *args, **kwargs)

    monkeypatch.setattr(loop, "begin", beginning)
    outcome = train_plan(plan)
    assert set(outcome.results) == {"prid2011"}
    best = read_checkpoint(first / BEST)
    assert best["facts"]["trained_on"] == ["mars"]
    for name, value in starts[1].items():
        same = torch.equal(value, best["state_dict"][name]) if "classifier" not in name else False
        assert same == ("classifier" not in name), name
    result = json.loads((out / "result.json").read_text())
    assert result["started_from"] == {"weights": str(first / BEST), "trained_on": ["mars"]}
    # Gone on with, it needs the first no more; again on another folder, the first is not repeated.
    resumed = [*words, "model.resume", str(out / LAST), "train.max_epoch", "2"]
    (first / BEST).rename(first / "elsewhere")
    train_plan(load_plan("prid2011_from_mars", resumed))
    (first / "elsewhere").rename(first / BEST)
    train_plan(load_plan("prid2011_from_mars", [*words, "data.save_dir", str(tmp_path / "again")]))
    assert len(starts) == 4


def test_the_first_of_a_transfer_on_the_same_people_is_trained_on_the_same_split(
    tmp_path: Path,
) -> None:
    config = tmp_path / "both.yaml"
    config.write_text("base: mars\ndata: {sources: [mars, prid2011], save_dir: log/both}\n")
    words = ["transfer.config", str(config), "data.split_id", "3", "train.lr", "0.01"]
    plan = load_plan("prid2011", words)
    assert plan.first is not None
    assert plan.first.data.split_id == plan.cfg.data.split_id == 3
    assert plan.first.data.save_dir == "log/both/split3"
    assert plan.first.train.lr == 0.01
    assert plan.first.data.sources == ["mars", "prid2011"]


@pytest.mark.parametrize(
    ("name", "sources", "target", "first_sources"),
    [
        ("mars_ilidsvid", ["mars", "ilidsvid"], "mars", None),
        ("prid2011_from_mars", ["prid2011"], "prid2011", ["mars"]),
        ("prid2011_from_mars_ilidsvid", ["prid2011"], "prid2011", ["mars", "ilidsvid"]),
        ("ilidsvid_from_mars", ["ilidsvid"], "ilidsvid", ["mars"]),
        ("ilidsvid_from_mars_ilidsvid", ["ilidsvid"], "ilidsvid", ["mars", "ilidsvid"]),
    ],
)
def test_the_papers_rows_are_its_recipe_on_other_data(
    name: str, sources: list[str], target: str, first_sources: list[str] | None
) -> None:
    plan, recipe = load_plan(name), load_config("mars")
    assert plan.cfg.data.sources == sources
    assert plan.cfg.data.targets == [target]
    assert (plan.first.data.sources if plan.first else None) == first_sources
    for cfg in filter(None, (plan.cfg, plan.first)):
        for section in ("model", "sampler", "video", "train", "not3d", "loss"):
            assert cfg[section] == recipe[section]
        assert (cfg.data.height, cfg.data.width) == (224, 112)


def test_a_transfer_from_a_transfer_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'prid2011_from_mars', which is a transfer itself"):
        load_plan("ilidsvid", ["transfer.config", "prid2011_from_mars"])


def test_the_second_part_is_checked_before_the_first_is_trained(
    reid_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(cfg: Any, **options: Any) -> None:
        raise AssertionError("hours of training")

    monkeypatch.setattr(transfer, "train", train)
    (tmp_path / "file").write_text("")
    words = ["transfer.save_dir", str(tmp_path / "first")]
    for wrong, told in (
        (["data.save_dir", str(tmp_path / "file" / "out")], r"file is no folder"),
        (["data.split_id", "7"], "split"),
    ):
        plan = load_plan("prid2011_from_mars", changes(reid_data, tmp_path, *words, *wrong))
        with pytest.raises(Nr3dError, match=told):
            train_plan(plan)
        with pytest.raises(Nr3dError, match=told):
            rehearse_plan(plan)
    assert not (tmp_path / "first").exists()


def test_a_network_that_does_not_take_the_firsts_weights_is_told_at_once(tmp_path: Path) -> None:
    config = tmp_path / "small.yaml"
    config.write_text("base: mars\nmodel: {name: nr3d_resnet18_ibn}\n")
    with pytest.raises(ConfigError, match=r"'nr3d_resnet18_ibn' in transfer\.config .* do not fit"):
        load_plan("prid2011", ["transfer.config", str(config)])
    same = ["transfer.config", str(config), "model.name", "nr3d_resnet18_ibn"]
    assert load_plan("prid2011", same).first is not None
