"""All splits of a dataset, and networks that start from another dataset's."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch

from nr3d.cli import main
from nr3d.config import KEYS, Command, load_config
from nr3d.engine import BEST, LAST, VideoNot3DEngine
from nr3d.errors import ConfigError, DataError, Nr3dError
from nr3d.runs import experiment, rehearsal, stages
from nr3d.runs.building import as_mapping
from nr3d.weights import read_checkpoint
from tests.conftest import finished

SMALL = [
    *("model.name", "nr3d_resnet18_ibn", "model.pretrained", "False", "data.height", "32"),
    *("data.width", "16", "train.batch_size", "4", "sampler.num_instances", "2"),
    *("video.seq_len", "2", "data.workers", "0", "train.max_epoch", "1"),
    *("train.precision", "float32", "not3d.aggregation", "mean"),
]


@pytest.fixture
def reid_data(prid_root: Path, mars_root: Path) -> Path:
    """MARS, and PRID2011 with two splits of its four people."""
    (prid_root / "mars").symlink_to(mars_root / "mars")
    people = [f"person_{person:04d}" for person in range(1, 5)]
    splits = [
        {"train": people[:2], "test": people[2:]},
        {"train": people[2:], "test": people[:2]},
    ]
    (prid_root / "prid2011" / "splits_prid2011.json").write_text(json.dumps(splits))
    return prid_root


def changes(root: Path, out: Path, *more: str) -> list[str]:
    return ["data.root", str(root), "data.save_dir", str(out), *SMALL, *more]


def test_all_splits_are_trained_and_their_mean_is_told(
    reid_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, file = tmp_path / "out", tmp_path / "splits.json"
    words = ["--config", "prid2011", *changes(reid_data, out), "--json", str(file)]
    assert main(["train", "--splits", "all", *words]) == 0
    summary = json.loads(file.read_text())
    assert summary == json.loads((out / "splits.json").read_text())
    assert [row["split"] for row in summary["splits"]] == [0, 1]
    for figure in ("rank-1", "mAP"):
        values = [row[figure] for row in summary["splits"]]
        assert summary["mean"][figure] == pytest.approx(sum(values) / 2)
        assert summary["std"][figure] == pytest.approx(statistics.stdev(values))
    for split in (0, 1):
        result = json.loads((out / f"split{split}" / "result.json").read_text())
        assert result["config"]["data"]["split_id"] == split
        assert result["results"]["prid2011"]["rank-1"] == summary["splits"][split]["rank-1"]
    lines = capsys.readouterr().out.splitlines()
    table = lines[lines.index("prid2011, 2 splits:") :]
    assert [line.split()[0] for line in table[2:7]] == ["0", "1", "mean", "±", "split"]
    assert f"{summary['mean']['mAP']:.1%}" in table[4]
    assert f"{summary['splits'][0]['mAP']:.1%}" in table[6]


def test_finished_splits_are_taken_as_they_are_and_a_cut_off_one_goes_on(
    reid_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    plan = stages.plan("prid2011", changes(reid_data, out, "train.max_epoch", "2"))
    whole = stages.train_splits(
        stages.plan("prid2011", changes(reid_data, tmp_path / "whole", "train.max_epoch", "2"))
    )
    train = VideoNot3DEngine.train
    epochs: list[int] = []

    def stopped(engine: VideoNot3DEngine, *args: Any, **kwargs: Any) -> dict[str, float]:
        epochs.append(engine.epoch)
        if len(epochs) == 4:
            raise KeyboardInterrupt
        return train(engine, *args, **kwargs)

    monkeypatch.setattr(VideoNot3DEngine, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        stages.train_splits(plan)
    assert epochs == [0, 1, 0, 1]
    assert not (out / "splits.json").exists()
    assert stages.train_splits(plan)["splits"] == whole["splits"]
    assert epochs == [0, 1, 0, 1, 1]  # the second epoch of the second split alone
    assert stages.train_splits(plan)["splits"] == whole["splits"]
    assert len(epochs) == 5


def test_a_finished_run_with_other_settings_is_not_taken(reid_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    stages.train_splits(stages.plan("prid2011", changes(reid_data, out)), [1])
    other = stages.plan("prid2011", changes(reid_data, out, "train.lr", "0.1"))
    with pytest.raises(ConfigError, match=r"split1 holds .*train\.lr 0\.00035, now 0\.1.*save_dir"):
        stages.train_splits(other, [1])


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
        made = stages.plan("prid2011_from_mars", words).first
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


@pytest.mark.parametrize(
    ("config", "splits", "message"),
    [
        ("prid2011", "0,2", r"splits are \[0, 2\], expected some of 0 to 1"),
        ("prid2011", "none", r"--splits is 'none', expected all, or numbers"),
        ("mars", "all", r"'mars' has no splits to choose from, expected one of prid2011, ilidsvid"),
    ],
)
def test_splits_that_are_not_there_are_one_line(
    reid_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    config: str,
    splits: str,
    message: str,
) -> None:
    words = ["--config", config, *changes(reid_data, tmp_path / "out")]
    assert main(["train", "--splits", splits, *words]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_missing_split_file_names_the_command_that_makes_it(
    reid_data: Path, tmp_path: Path
) -> None:
    (reid_data / "prid2011" / "splits_prid2011.json").unlink()
    with pytest.raises(DataError, match=r"splits_prid2011\.json.*nr3d data splits prid2011"):
        stages.train_splits(stages.plan("prid2011", changes(reid_data, tmp_path)))


def test_a_transfer_trains_the_first_and_starts_from_its_best(
    reid_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, out = tmp_path / "first", tmp_path / "out"
    words = changes(reid_data, out, "transfer.save_dir", str(first))
    plan = stages.plan("prid2011_from_mars", words)
    starts: list[dict[str, torch.Tensor]] = []
    begin = VideoNot3DEngine._begin

    def beginning(engine: VideoNot3DEngine, *args: Any, **kwargs: Any) -> None:
        starts.append({k: v.clone() for k, v in engine.model.state_dict().items()})
        begin(engine, *args, **kwargs)

    monkeypatch.setattr(VideoNot3DEngine, "_begin", beginning)
    outcome = stages.train(plan)
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
    stages.train(stages.plan("prid2011_from_mars", resumed))
    (first / "elsewhere").rename(first / BEST)
    stages.train(
        stages.plan("prid2011_from_mars", [*words, "data.save_dir", str(tmp_path / "again")])
    )
    assert len(starts) == 4


def test_the_first_of_a_transfer_on_the_same_people_is_trained_on_the_same_split(
    tmp_path: Path,
) -> None:
    config = tmp_path / "both.yaml"
    config.write_text("base: mars\ndata: {sources: [mars, prid2011], save_dir: log/both}\n")
    words = ["transfer.config", str(config), "data.split_id", "3", "train.lr", "0.01"]
    plan = stages.plan("prid2011", words)
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
    plan, recipe = stages.plan(name), load_config("mars")
    assert plan.cfg.data.sources == sources
    assert plan.cfg.data.targets == [target]
    assert (plan.first.data.sources if plan.first else None) == first_sources
    for cfg in filter(None, (plan.cfg, plan.first)):
        for section in ("model", "sampler", "video", "train", "not3d", "loss"):
            assert cfg[section] == recipe[section]
        assert (cfg.data.height, cfg.data.width) == (224, 112)


def test_a_transfer_from_a_transfer_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'prid2011_from_mars', which is a transfer itself"):
        stages.plan("ilidsvid", ["transfer.config", "prid2011_from_mars"])


def other_value(name: str) -> Any:
    default = KEYS[name].default
    if isinstance(default, str):
        return "other"
    if isinstance(default, bool):
        return not default
    return default * 2 + 1 if isinstance(default, int | float) else ["other"]


@pytest.mark.parametrize("name", KEYS)
def test_a_finished_run_is_taken_where_nothing_of_it_would_be_another(
    name: str, tmp_path: Path
) -> None:
    cfg = load_config("mars", ["data.save_dir", str(tmp_path)])
    before = as_mapping(cfg)
    *sections, last = name.split(".")
    node = before
    for section in sections:
        node = node[section]
    node[last] = other_value(name)
    (tmp_path / "result.json").write_text(json.dumps(finished(before)))
    key = KEYS[name]
    if key.scope and key.commands & Command.TRAIN:
        with pytest.raises(ConfigError, match=rf"other settings \({re.escape(name)} "):
            stages.standing(cfg)
    else:
        result, same = stages.standing(cfg)
        assert result == finished(before)
        assert same == cfg


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        *(("data.cache_frames", False), ("test.compile", False), ("test.visrank_topk", False)),
        *(("test.batch_size", False), ("data.root", False), ("train.print_freq", False)),
        *(("train.lr", True), ("train.max_epoch", True), ("model.load_weights", True)),
        *(("test.precision", True), ("test.dist_metric", True), ("data.combineall", True)),
    ],
)
def test_which_keys_make_a_finished_run_another(name: str, refused: bool) -> None:
    key = KEYS[name]
    assert bool(key.scope and key.commands & Command.TRAIN) == refused


def test_a_run_from_the_same_file_by_another_path_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["data.save_dir", str(tmp_path), "model.load_weights"]
    before = as_mapping(load_config("mars", [*words, "a.pth"]))
    (tmp_path / "result.json").write_text(json.dumps(finished(before)))
    result, _ = stages.standing(load_config("mars", [*words, str(tmp_path / "a.pth")]))
    assert result is not None
    with pytest.raises(ConfigError, match=r"model\.load_weights 'a\.pth', now 'b\.pth'"):
        stages.standing(load_config("mars", [*words, "b.pth"]))


def test_the_second_part_is_checked_before_the_first_is_trained(
    reid_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(cfg: Any) -> None:
        raise AssertionError("hours of training")

    monkeypatch.setattr(experiment, "train", train)
    (tmp_path / "file").write_text("")
    words = ["transfer.save_dir", str(tmp_path / "first")]
    for wrong, told in (
        (["data.save_dir", str(tmp_path / "file" / "out")], r"file is no folder"),
        (["data.split_id", "7"], "split"),
    ):
        plan = stages.plan("prid2011_from_mars", changes(reid_data, tmp_path, *words, *wrong))
        with pytest.raises(Nr3dError, match=told):
            stages.train(plan)
        with pytest.raises(Nr3dError, match=told):
            rehearsal.rehearse_plan(plan)
    assert not (tmp_path / "first").exists()


def test_a_network_that_does_not_take_the_firsts_weights_is_told_at_once(tmp_path: Path) -> None:
    config = tmp_path / "small.yaml"
    config.write_text("base: mars\nmodel: {name: nr3d_resnet18_ibn}\n")
    with pytest.raises(ConfigError, match=r"'nr3d_resnet18_ibn' in transfer\.config .* do not fit"):
        stages.plan("prid2011", ["transfer.config", str(config)])
    same = ["transfer.config", str(config), "model.name", "nr3d_resnet18_ibn"]
    assert stages.plan("prid2011", same).first is not None
