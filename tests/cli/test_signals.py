"""Signals that ask a command to stop."""

from __future__ import annotations

import multiprocessing
import os
import re
import shlex
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nr3d.cli import main
from nr3d.cli.signals import stopped_by_signals
from nr3d.config import Command
from nr3d.engine import TrainingStep
from nr3d.features import FeatureStore, Inference
from nr3d.processes.children import SIGNALS, follow_parent
from nr3d.processes.stopping import Interrupted, at_safe_points, requested, withdraw
from nr3d.weights import read_checkpoint, write_checkpoint
from tests.conftest import used

SMALL = [
    *("model.name", "nr3d_resnet18_ibn", "model.pretrained", "False", "data.height", "32"),
    *("data.width", "16", "train.batch_size", "4", "sampler.num_instances", "2"),
    *("video.seq_len", "2", "data.workers", "0", "model.aggregation", "mean"),
    *("train.precision", "float32", "test.precision", "float32"),
]


def asking(function: Callable[..., Any], call: int, number: int) -> Callable[..., Any]:
    """Give a function that gets a signal as it is called for the so many-th time."""
    calls = 0

    def called(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), number)
        return function(*args, **kwargs)

    return called


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"])
def test_a_signal_ends_training_with_a_checkpoint_and_says_how_to_go_on(
    name: str,
    mars_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    number, out = signal.Signals[name], tmp_path / "log"
    words = ["train", "--config", "synthetic", "--root", str(mars_root), *SMALL]
    words += ["data.save_dir", str(out), "train.max_epoch", "1"]
    before = {each: signal.getsignal(each) for each in SIGNALS}
    with monkeypatch.context() as patched:
        patched.setattr(TrainingStep, "update", asking(TrainingStep.update, 2, number))
        assert main(words) == 128 + number
    assert {each: signal.getsignal(each) for each in SIGNALS} == before
    last = out / "model-last.pth.tar"
    (told,) = capsys.readouterr().err.splitlines()
    what = "interrupted" if name == "SIGINT" else f"ended by {name}"
    command = shlex.join(["nr3d", *words, "model.resume", str(last)])
    where, way_on = told.split("; ", 1)
    assert re.fullmatch(f"nr3d: {what} after batch 2 of [78] of epoch 1", where)
    assert way_on == f"continue with: {command}"
    assert read_checkpoint(last)["step"] == 2
    assert not [path for path in out.iterdir() if path.name.startswith(".")]
    if name == "SIGTERM":
        assert main(shlex.split(command)[1:]) == 0
        assert read_checkpoint(last)["epoch"] == 1


def test_a_command_that_begins_anew_names_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*args: Any) -> None:
        raise Interrupted(signal.SIGTERM, "after epoch 2", tmp_path / "model-last.pth.tar")

    monkeypatch.setattr("nr3d.cli.demo._run", stopped)
    assert main(["demo", "--out", str(tmp_path)]) == 143
    assert capsys.readouterr().err == "nr3d: ended by SIGTERM after epoch 2\n"


def test_a_signal_keeps_what_was_extracted(
    mars_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    small_model: Callable[..., Any],
) -> None:
    weights, out = tmp_path / "weights.pth", tmp_path / "features.h5"
    write_checkpoint({"state_dict": small_model(aggregation="mean").state_dict()}, weights)
    words = ["extract", "--config", "synthetic", "--root", str(mars_root)]
    words += [
        *used(Command.EXTRACT, SMALL),
        "--weights",
        str(weights),
        "--out",
        str(out),
        "test.batch_size",
        "4",
    ]
    with monkeypatch.context() as patched:
        patched.setattr(Inference, "of_frames", asking(Inference.of_frames, 6, signal.SIGTERM))
        assert main(words) == 143
    told = capsys.readouterr().err.splitlines()[-1]
    assert told == "nr3d: ended by SIGTERM; the same command continues where it stopped"
    assert 0 < sum(FeatureStore(out).counts.values()) < 48
    assert sorted(path.name for path in tmp_path.iterdir()) == ["features.h5", "weights.pth"]
    assert main(words) == 0
    assert FeatureStore(out).complete


def test_work_at_safe_points_is_asked_and_a_second_interrupt_is_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nr3d.cli.signals._AGAIN", 0.05)
    with stopped_by_signals(), at_safe_points():
        os.kill(os.getpid(), signal.SIGTERM)
        assert requested() == signal.SIGTERM
        # A launcher hands on what it got, and a terminal tells all of its processes.
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
    withdraw()


def test_a_signal_that_is_ignored_stays_so() -> None:
    """As ``nohup`` starts a command."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopped_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            with pytest.raises(Interrupted, match="stopped by SIGTERM"):
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(1)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_forked_process_dies_of_a_signal_as_others_do() -> None:
    with stopped_by_signals(), at_safe_points():
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        assert requested() == 0


def work(ready: Any) -> None:
    follow_parent()
    ready.send(os.getpid())
    while True:
        time.sleep(0.05)


def test_a_worker_leaves_signals_to_its_parent_and_ends_with_it() -> None:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    worker = context.Process(target=work, args=(theirs,), daemon=True)
    worker.start()
    pid = ours.recv()
    from_elsewhere = os.fork()
    if from_elsewhere == 0:
        for number in SIGNALS:
            os.kill(pid, number)
        os._exit(0)
    os.waitpid(from_elsewhere, 0)
    time.sleep(0.2)
    assert worker.is_alive()
    worker.terminate()
    worker.join(5)
    assert worker.exitcode == 0

    parent = os.fork()
    if parent == 0:
        orphan = context.Process(target=work, args=(theirs,))
        orphan.start()
        time.sleep(60)
    pid = ours.recv()
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    until = time.monotonic() + 5
    while _is_running(pid):
        assert time.monotonic() < until
        time.sleep(0.05)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
