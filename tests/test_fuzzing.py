"""Damaged and hostile inputs come out right or refused: a part of what benchmarks/fuzz.py feeds."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
TARGETS = sorted(module.name for module in pkgutil.iter_modules([str(BENCHMARKS / "fuzzing")]))

INPUTS = 150
"""Of each target; the same in every run."""


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("fuzz")


@pytest.mark.skipif(sys.platform == "win32", reason="the inputs are fed to forked processes")
@pytest.mark.parametrize("name", TARGETS)
def test_inputs_come_out_right_or_refused(name: str, fuzz: ModuleType) -> None:
    target = importlib.import_module(f"fuzzing.{name}")
    tally = fuzz.run(name, target, seed=0, first=0, inputs=INPUTS)
    assert not tally.wrong, f"{name}: {tally.wrong}"
    assert sum(tally.outcomes.values()) == INPUTS


# What the harness must find: otherwise the test above could not fail.


def target_of(code: str) -> ModuleType:
    module = ModuleType("target")
    module.SECONDS = 1.0  # type: ignore[attr-defined]
    module.MEBIBYTES = 64  # type: ignore[attr-defined]
    exec(f"import os, signal, time\ndef make(folder):\n    return lambda rng: {code}", vars(module))
    return module


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "ended the process (-11)"),
        ("time.sleep(30)", "took more than 1 s"),
        ("'right' if b'x' * (200 << 20) else ''", "MiB"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_the_harness_finds(code: str, told: str, fuzz: ModuleType) -> None:
    tally = fuzz.run("target", target_of(code), seed=0, first=0, inputs=2)
    assert len(tally.wrong) == 2
    assert all(told in what for what in tally.wrong.values()), tally.wrong


def test_an_input_is_made_from_its_number_alone(fuzz: ModuleType) -> None:
    target = target_of("str(rng.integers(1 << 40))")
    both = fuzz.run("target", target, seed=0, first=0, inputs=2)
    one = fuzz.run("target", target, seed=0, first=1, inputs=1)
    assert set(one.outcomes) < set(both.outcomes)


def test_a_refusal_is_one_readable_line(fuzz: ModuleType) -> None:
    from nr3d.errors import DataError

    assert fuzz.fuzzing.refusal(DataError("a.mat is no table."), "a.mat") == "refused"
    for message in ("", "a.mat ( )", "a.mat is \x1b[31m no table", "x " * 5000, "it is no table"):
        with pytest.raises(AssertionError):
            fuzz.fuzzing.refusal(DataError(message), "a.mat")
