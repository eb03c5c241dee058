"""Runs are checked, joined, seeded and built in one place, whichever command they belong to."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nr3d.config import Command, load_config
from nr3d.errors import ConfigError, OutputError
from nr3d.runs import building, run, transfer
from nr3d.runs.rehearsal import rehearse_plan
from nr3d.runs.transfer import load_plan, train_plan
from tests.runs.conftest import changes


def test_a_run_is_the_same_whoever_drew_random_numbers_before(
    mars_root: Path, tmp_path: Path
) -> None:
    cfg = load_config("mars", changes(mars_root, tmp_path))
    states = []
    for draws in (0, 3):
        with run.opened(cfg, Command.TRAIN) as opened:
            torch.rand(draws)
            np.random.rand(draws)
            states.append(opened.engine.model.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_a_bad_configuration_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    cfg = load_config("mars", ["model.name", "resnet", "data.root", str(tmp_path / "nowhere")])
    for command in (Command.TRAIN, Command.TEST, Command.EXTRACT):
        with (
            pytest.raises(ConfigError, match=r"model\.name is 'resnet'"),
            run.opened(cfg, command),
        ):
            raise AssertionError("opened")


def test_only_commands_that_write_into_the_save_dir_need_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cfg = load_config("mars", ["data.save_dir", str(tmp_path / "file" / "out")])
    for command in (Command.TRAIN, Command.TEST):
        with pytest.raises(OutputError, match="file is no folder"), run.opened(cfg, command):
            raise AssertionError("opened")
    with run.opened(cfg, Command.EXTRACT) as opened:
        assert not opened.training


@pytest.mark.parametrize("does", [train_plan, rehearse_plan])
def test_a_training_and_its_rehearsal_check_and_build_each_configuration_once(
    does: Any, mars_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Counter[str] = Counter()

    def counted(name: str) -> None:
        function = getattr(run, name)

        def call(*args: Any, **options: Any) -> Any:
            calls[name] += 1
            return function(*args, **options)

        monkeypatch.setattr(run, name, call)

    for name in ("check", "check_save_dir", "build_datamanager", "build_model", "build_engine"):
        counted(name)
    does(load_plan("mars", changes(mars_root, tmp_path)))
    assert set(calls.values()) == {1}
    assert len(calls) == 5


def test_what_is_trained_first_is_prepared_by_the_run_and_its_rehearsal_alike(
    mars_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[tuple[str, str]] = []
    build = building.build_model

    def building_model(cfg: Any, *args: Any, **options: Any) -> Any:
        built.append((cfg.data.save_dir, cfg.model.load_weights))
        return build(cfg, *args, **options)

    monkeypatch.setattr(run, "build_model", building_model)
    first, out = tmp_path / "first", tmp_path / "out"
    words = changes(mars_root, out, "transfer.config", "mars", "transfer.save_dir", str(first))
    plan = load_plan("mars", words)
    assert plan.started.model.load_weights == str(first / transfer.BEST)
    assert plan.cfg.model.load_weights == ""
    rehearse_plan(plan)
    rehearsed, built[:] = list(built), []
    train_plan(plan)
    assert rehearsed == [(str(out), ""), (str(first), "")]
    assert built == [*rehearsed, (str(out), str(first / transfer.BEST))]
