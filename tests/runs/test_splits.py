"""Trainings over all splits of a dataset."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path
from typing import Any

import pytest

from nr3d.cli import main
from nr3d.engine import VideoNot3DEngine
from nr3d.errors import DataError
from nr3d.runs.splits import train_splits
from nr3d.runs.transfer import load_plan
from tests.runs.conftest import changes


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
    plan = load_plan("prid2011", changes(reid_data, out, "train.max_epoch", "2"))
    whole = train_splits(
        load_plan("prid2011", changes(reid_data, tmp_path / "whole", "train.max_epoch", "2"))
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
        train_splits(plan)
    assert epochs == [0, 1, 0, 1]
    assert not (out / "splits.json").exists()
    assert train_splits(plan)["splits"] == whole["splits"]
    assert epochs == [0, 1, 0, 1, 1]  # the second epoch of the second split alone
    assert train_splits(plan)["splits"] == whole["splits"]
    assert len(epochs) == 5


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
        train_splits(load_plan("prid2011", changes(reid_data, tmp_path)))
