"""Runs that are killed and gone on with, and checkpoints that are another run's."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from nr3d.engine import read_records
from nr3d.weights import read_checkpoint
from tests.engine.killed_run import MOMENTS, STOPS


@pytest.fixture(scope="module")
def runs(mars_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run left alone, and one killed at each moment and gone on with."""
    out = tmp_path_factory.mktemp("runs")
    script = Path(__file__).with_name("killed_run.py")
    done = subprocess.run(
        [sys.executable, script, mars_root, out], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """Name the places where two checkpoints are not equal to the last bit."""
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one, other) else [place]
    if isinstance(one, dict):
        assert one.keys() == other.keys(), place
        return [d for key in one for d in differences(one[key], other[key], f"{place}.{key}")]
    if isinstance(one, (list, tuple)):
        assert len(one) == len(other), place
        pairs = zip(one, other, strict=True)
        return [d for i, (a, b) in enumerate(pairs) for d in differences(a, b, f"{place}.{i}")]
    return [] if one == other or (one != one and other != other) else [f"{place} {one} {other}"]


@pytest.mark.parametrize("moment", [*MOMENTS, *STOPS])
def test_a_killed_or_stopped_run_ends_as_if_it_had_been_left_alone(runs: Path, moment: str) -> None:
    for name in ("model-last.pth.tar", "model-best.pth.tar"):
        whole, killed = (read_checkpoint(runs / run / name) for run in ("whole", moment))
        assert whole["epoch"] in (1, 2)
        for checkpoint in (whole, killed):
            checkpoint["facts"]["config"]["data"].pop("save_dir")
            checkpoint["facts"]["config"]["model"].pop("resume")
        assert differences(whole, killed) == []
        assert all(math.isfinite(x.sum()) for x in killed["state_dict"].values())
    figures = [
        [{k: v for k, v in record.items() if k != "seconds"} for record in read_records(runs / run)]
        for run in ("whole", moment)
    ]
    assert [r["kind"] for r in figures[0]] == ["epoch", "test"] * 2
    assert figures[0] == figures[1]
