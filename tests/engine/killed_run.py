"""Trains by the command line in child processes, some of which are killed at a given moment.

Usage: killed_run.py ROOT OUT. Writes into OUT one run that is left alone, and one for each moment
that is killed there and then gone on with. One process imports everything, and forks.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import nr3d.cli
from nr3d.engine import LAST, TrainingStep
from nr3d.features import Inference
from nr3d.weights import checkpoint


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def counted(function: Callable[..., Any], call: int, then: Callable[..., Any]) -> Any:
    """Give a function whose ``call``-th call is ``then``'s."""
    calls = 0

    def counting(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        return then(*args, **kwargs) if calls == call else function(*args, **kwargs)

    return counting


def in_a_step(call: int) -> None:
    """Die with the gradients there and the optimizers not stepped."""
    TrainingStep.update = counted(TrainingStep.update, call, lambda *a: die())


def in_a_write(call: int) -> None:
    """Die with half a checkpoint on the disk."""
    save = torch.save

    def half(state: Any, file: Any, **options: Any) -> None:
        save(state, file, **options)
        whole = Path(file).stat().st_size
        os.truncate(file, whole // 2)
        die()

    checkpoint.torch.save = counted(save, call, half)  # type: ignore[attr-defined]


def in_a_test(call: int) -> None:
    """Die between two batches of a test."""
    of_frames = Inference.of_frames
    Inference.of_frames = counted(of_frames, call, lambda *a: die())


def asked(number: int) -> None:
    """Ask all processes of the run to stop, as Slurm does: the loaders first."""
    own = os.getpid()
    for child in Path(f"/proc/{own}/task/{own}/children").read_text().split():
        os.kill(int(child), number)
    time.sleep(0.2)
    os.kill(own, number)


def asked_in_a_step(call: int) -> None:
    update = TrainingStep.update
    TrainingStep.update = counted(update, call, lambda *a: (asked(signal.SIGTERM), update(*a)))  # type: ignore[method-assign]


def asked_in_a_test(call: int) -> None:
    of_frames = Inference.of_frames
    Inference.of_frames = counted(
        of_frames, call, lambda *a: (asked(signal.SIGUSR1), of_frames(*a))[1]
    )  # type: ignore[method-assign]


def asked_twice_in_a_write(call: int) -> None:
    """What a job gets whose launcher hands on the signals that it got itself."""
    save = torch.save
    checkpoint.torch.save = counted(  # type: ignore[attr-defined]
        save, call, lambda *a: (asked(signal.SIGTERM), asked(signal.SIGTERM), save(*a))
    )


# Two epochs of four steps; a checkpoint is written after every second step, and after an epoch
# the best too, if it is, before the last. A test takes two batches.
MOMENTS: dict[str, tuple[Callable[[int], None], int]] = {
    "first-step": (in_a_step, 1),
    "step": (in_a_step, 7),
    "write-of-a-step": (in_a_write, 4),
    "write-of-an-epoch": (in_a_write, 3),
    "test": (in_a_test, 2),
    "last-test": (in_a_test, 4),
}


STOPS: dict[str, tuple[Callable[[int], None], int, int]] = {
    "sigterm-step": (asked_in_a_step, 7, signal.SIGTERM),
    "sigterm-last-step": (asked_in_a_step, 4, signal.SIGTERM),
    "sigusr1-test": (asked_in_a_test, 2, signal.SIGUSR1),
    "sigterm-write": (asked_twice_in_a_write, 1, signal.SIGTERM),
}
"""Moments at which a signal asks a run to stop, and the signal."""


def child(work: Callable[[], int]) -> int:
    """Do some work in a forked process; gives how it ended."""
    pid = os.fork()
    if pid == 0:
        os._exit(work())
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def train(root: str, save_dir: Path) -> int:
    torch.set_num_threads(1)
    resume = ["model.resume", str(save_dir / LAST)] if (save_dir / LAST).exists() else []
    changes = {
        "data.height": 32,
        "data.width": 16,
        "data.workers": 1,
        "data.cache_frames": False,
        "data.transforms": "['random_flip', 'random_crop', 'random_erase']",
        "data.save_dir": save_dir,
        "video.seq_len": 2,
        "model.aggregation": "mean",  # half of the parameters to write
        "sampler.num_instances": 2,
        "train.batch_size": 8,
        "train.max_epoch": 2,
        "train.stepsize": "[1]",
        "train.checkpoint_steps": 2,
        "train.precision": "float32",
        "test.precision": "float32",
        "test.eval_freq": 1,
    }
    words = [str(word) for pair in changes.items() for word in pair]
    return nr3d.cli.main(["train", "--config", "synthetic", "--root", root, *words, *resume])


def main() -> None:
    root, out = sys.argv[1], Path(sys.argv[2])
    assert child(lambda: train(root, out / "whole")) == 0
    for name, (kill, call) in MOMENTS.items():

        def killed(kill: Callable[[int], None] = kill, call: int = call, name: str = name) -> int:
            kill(call)
            return train(root, out / name)

        assert child(killed) == -signal.SIGKILL, name
        assert child(lambda name=name: train(root, out / name)) == 0, name  # type: ignore[misc]
    for name, (ask, call, number) in STOPS.items():

        def stopped(ask: Callable[[int], None] = ask, call: int = call, name: str = name) -> int:
            ask(call)
            return train(root, out / name)

        assert child(stopped) == 128 + number, name
        left = sorted(path.name for path in (out / name).iterdir() if path.name[0] == ".")
        assert left == [], (name, left)
        assert child(lambda name=name: train(root, out / name)) == 0, name  # type: ignore[misc]


if __name__ == "__main__":
    main()
