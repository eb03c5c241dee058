"""The demo keeps its promise: from an untrained network that fails to a trained one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from nr3d.cli import main


@pytest.mark.slow
def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "demo.json"
    assert main(["demo", "--out", str(tmp_path), "--seed", "0", "--json", str(report)]) == 0
    content = json.loads(report.read_text())
    before, after = (content[part]["results"]["mars"] for part in ("before", "after"))
    assert before["rank-1"] <= 0.60
    assert after["rank-1"] >= 0.85
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith(("untrained", "trained"))]
    assert f"{before['rank-1']:.1%}" in rows[0]
    assert f"{after['rank-1']:.1%}" in rows[1]
    with Image.open(content["ranking"]) as picture:
        assert picture.width > 800
    assert Path(tmp_path / "seed0" / "run" / "model-best.pth.tar").is_file()


def test_the_seed_of_the_demo_is_that_of_its_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--out", str(tmp_path), "--seed", "-1"]) == 2
    assert "seed is -1, expected" in capsys.readouterr().err
