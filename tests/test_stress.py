"""Commands side by side that are killed, stopped and cut off, and what is left of them."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


@pytest.fixture
def stress(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("stress")


@pytest.mark.slow
def test_nothing_is_left_of_killed_and_stopped_commands(tmp_path: Path, stress: ModuleType) -> None:
    under_stress = stress.Stress(tmp_path, seed=1, longest=3.0)
    under_stress.prepare()
    under_stress.run(600, at_once=4, most=12)
    under_stress.in_peace()
    assert under_stress.wrong == []
    assert under_stress.left() == []
    assert sum(under_stress.ended.values()) >= 12


# What it must find: otherwise the test above could not fail.


def test_it_finds_files_and_processes_that_are_left(
    tmp_path: Path, stress: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".run.lock").touch()
    (tmp_path / "run" / ".model-last.pth.tar.812.partial").touch()
    under_stress = stress.Stress(tmp_path)
    orphan = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True
    )
    try:
        under_stress.sessions.add(orphan.pid)
        now = iter([0.0, 11.0])
        monkeypatch.setattr(stress.time, "monotonic", lambda: next(now))
        left = under_stress.left()
    finally:
        orphan.kill()
        orphan.wait()
    assert left == [
        f"{tmp_path}/run/.model-last.pth.tar.812.partial",
        f"{tmp_path}/run/.run.lock",
        f"process {orphan.pid}",
    ]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise RuntimeError('not one line')", "RuntimeError: not one line"),
        ("return 3", "(alone) ended with status 3"),
        (f"os.kill(os.getpid(), {int(signal.SIGKILL)})", "(alone) ended with status -9"),
    ],
)
def test_it_finds_ends_that_nothing_explains(
    code: str, told: str, tmp_path: Path, stress: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    space: dict[str, object] = {"os": os}
    exec(f"def main(words):\n    {code}", space)
    monkeypatch.setattr("nr3d.cli.main", space["main"])
    under_stress = stress.Stress(tmp_path)
    under_stress.finish(under_stress.begin(["models"], "alone"))
    assert len(under_stress.wrong) == 1
    assert told in under_stress.wrong[0]
