"""Runs that are finished, cut off, or made with other settings."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from nr3d.config import KEYS, Command, as_mapping, load_config
from nr3d.errors import ConfigError
from nr3d.runs.splits import train_splits
from nr3d.runs.standing import standing
from nr3d.runs.transfer import load_plan
from tests.conftest import finished
from tests.runs.conftest import changes


def test_a_finished_run_with_other_settings_is_not_taken(reid_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train_splits(load_plan("prid2011", changes(reid_data, out)), [1])
    other = load_plan("prid2011", changes(reid_data, out, "train.lr", "0.1"))
    with pytest.raises(ConfigError, match=r"split1 holds .*train\.lr 0\.00035, now 0\.1.*save_dir"):
        train_splits(other, [1])


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
            standing(cfg)
    else:
        result, same = standing(cfg)
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
    result, _ = standing(load_config("mars", [*words, str(tmp_path / "a.pth")]))
    assert result is not None
    with pytest.raises(ConfigError, match=r"model\.load_weights 'a\.pth', now 'b\.pth'"):
        standing(load_config("mars", [*words, "b.pth"]))
