"""The curves for TensorBoard, and a disk that takes no more of them."""

from __future__ import annotations

import logging
import resource
import signal
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nr3d.engine.scalars import ScalarLog


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The numbers as TensorBoard shows them."""
    events = EventAccumulator(str(folder)).Reload()
    return {
        name: [(event.step, event.value) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def test_tensorboard_reads_them_and_hides_what_a_run_writes_again(tmp_path: Path) -> None:
    first = ScalarLog(tmp_path)
    for step in range(4):
        first.add_scalar("Train/loss", step / 2, step)
    first.close()
    again = ScalarLog(tmp_path, purge_step=2)
    again.add_scalar("Train/loss", 8, 2)
    again.add_scalar("Test/mAP", 0.5, 0)
    again.close()
    assert read(tmp_path) == {"Train/loss": [(0, 0), (1, 0.5), (2, 8)], "Test/mAP": [(0, 0.5)]}


def test_nothing_to_show_makes_no_file(tmp_path: Path) -> None:
    ScalarLog(tmp_path / "log").close()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_costs_the_curves_and_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with caplog.at_level(logging.WARNING):
            log = ScalarLog(tmp_path)
            for step in range(1000):
                log.add_scalar("Train/loss", 1, step)
            log.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [record.getMessage() for record in caplog.records] == [
        f"The curves for TensorBoard in {tmp_path} cannot be written (File too large): the run "
        "goes on without them"
    ]
    assert capfd.readouterr().err == ""
