"""A training heeds the keys of its loop and of its tests, with nr3d's engine and torchreid's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nr3d.config import Command, load_config
from nr3d.engine import LAST, read_records
from nr3d.runs import run
from nr3d.runs.training import train
from nr3d.weights import read_checkpoint
from tests.runs.conftest import changes

ENGINES = {
    "nr3d": [],
    "torchreid": [
        *("engine", "torchreid", "loss.name", "softmax", "video.sample_method", "evenly"),
        *("data.transforms", "[random_flip]", "test.precision", "float32"),
    ],
}


def config(root: Path, out: Path, engine: str, *more: str) -> Any:
    return load_config("mars", changes(root, out, *ENGINES[engine], *more))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_loop_heeds_its_keys(
    mars_root: Path, tmp_path: Path, engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = config(
        *(mars_root, tmp_path, engine, "train.max_epoch", "3", "train.batch_size", "8"),
        *("train.print_freq", "2", "train.fixbase_epoch", "3", "train.open_layers", "[bottleneck]"),
        *("test.eval_freq", "1", "test.start_eval", "2", "test.ranks", "[2]"),
        *("test.normalize_feature", "True", "not3d.warmup_epochs", "0"),
    )
    with run.opened(cfg, Command.TRAIN) as opened:
        before = {name: value.clone() for name, value in opened.model.state_dict().items()}
    outcome = train(cfg)

    records = read_records(tmp_path)
    assert [r["epoch"] for r in records if r["kind"] == "epoch"] == [1, 2, 3]
    assert [r["epoch"] for r in records if r["kind"] == "test"] == [2, 3]
    assert "rank-2" in records[-1]
    assert "rank-5" not in records[-1]
    printed = capsys.readouterr().out
    assert "[1/3][2/" in printed
    assert "[1/3][1/" not in printed

    after = read_checkpoint(tmp_path / LAST)["state_dict"]
    learnt = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert learnt
    assert {name.partition(".")[0] for name in learnt} == {"bottleneck"}
    # Squared distances of points on a sphere of radius 1.
    assert 0 < outcome.distances["mars"][np.isfinite(outcome.distances["mars"])].max() <= 4.001


@pytest.mark.parametrize("engine", ENGINES)
def test_its_tests_heed_the_distance(mars_root: Path, tmp_path: Path, engine: str) -> None:
    more = ("train.batch_size", "16", "test.dist_metric", "cosine")
    outcome = train(config(mars_root, tmp_path, engine, *more))
    found = outcome.distances["mars"]
    assert found[np.isfinite(found)].max() <= 2.001
    assert read_checkpoint(tmp_path / LAST)["facts"]["dist_metric"] == "cosine"
