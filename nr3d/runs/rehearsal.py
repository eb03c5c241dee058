"""Rehearsal of a training: one step and one test batch, and an estimate of what the run takes."""

from __future__ import annotations

import datetime
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from yacs.config import CfgNode

from nr3d.config import Command
from nr3d.engine import VideoNot3DEngine
from nr3d.engine.loop import is_test_due
from nr3d.errors import ConfigError, Nr3dError
from nr3d.runs.folder import nearest
from nr3d.runs.run import Run, opened
from nr3d.runs.splits import unfinished_split
from nr3d.runs.training import prepare
from nr3d.runs.transfer import Plan, unfinished_first

_TIMED_CLIPS = 8
"""Number of clips that are loaded to measure how long a batch takes."""

_CHECKPOINTS = 3
"""Number of checkpoints on the disk: the last, the best, and one that is being written."""


@dataclass(frozen=True)
class Rehearsal:
    """Estimate of what a run will take, from a single step of it.

    Args:
        device: name of the device that the run computes on.
        precision: name of the precision that it trains in.
        tracklets: number of tracklets to train on.
        identities: number of identities to train on.
        batches: number of batches in an epoch.
        epochs: number of epochs of the run, without those that a resumed run has finished.
        test_tracklets: number of tracklets in a test, over all datasets.
        test_frames: number of frames in a test, over all datasets.
        tests: number of tests of the run.
        losses: loss terms of the step, by name.
        step_seconds: duration of a step without the loading of its batch, in seconds.
        batch_seconds: time in which the loader's workers together make a batch, in seconds.
        epoch_seconds: duration of an epoch, in seconds.
        test_seconds: duration of a test, in seconds.
        memory_bytes: peak memory, of the GPU or else of this process, in bytes.
        memory_total_bytes: memory that the GPU or else the machine has, in bytes.
        checkpoint_bytes: size of a checkpoint, in bytes.
        disk_free_bytes: free space where the run writes, in bytes.
        warnings: reasons why the run would probably fail.
    """

    device: str
    precision: str
    tracklets: int
    identities: int
    batches: int
    epochs: int
    test_tracklets: int
    test_frames: int
    tests: int
    losses: Mapping[str, float]
    step_seconds: float
    batch_seconds: float
    epoch_seconds: float
    test_seconds: float
    memory_bytes: int
    memory_total_bytes: int
    checkpoint_bytes: int
    disk_free_bytes: int
    warnings: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Duration of the whole run, in seconds."""
        return self.epochs * self.epoch_seconds + self.tests * self.test_seconds

    def to_mapping(self) -> dict[str, Any]:
        """Return everything as plain values, as the JSON file holds it."""
        return {**asdict(self), "seconds": self.seconds}

    def __str__(self) -> str:
        """Return the estimate as a few lines of text."""
        terms = ", ".join(f"{name} {value:.4g}" for name, value in self.losses.items())
        waits = " (the loader is behind: more data.workers)" if self._starved else ""
        lines = [
            f"Data:     {self.tracklets} tracklets of {self.identities} people to train, "
            f"{self.batches} batches an epoch; {self.test_tracklets} tracklets of "
            f"{self.test_frames} frames to test",
            f"Step:     {terms}",
            f"Speed:    {self.step_seconds:.2f} s a step on {self.device} in {self.precision}, "
            f"{self.batch_seconds:.2f} s to make a batch{waits}",
            f"Time:     about {_span(self.epoch_seconds)} an epoch and {_span(self.test_seconds)} "
            f"a test; {self.epochs} epochs and {self.tests} tests: {_span(self.seconds)}",
            f"Memory:   {self.memory_bytes / 2**30:.1f} of {self.memory_total_bytes / 2**30:.1f} "
            "GiB",
            f"Disk:     {_CHECKPOINTS} checkpoints of {self.checkpoint_bytes / 2**20:,.0f} MiB, "
            f"{self.disk_free_bytes / 2**30:.1f} GiB free",
            *(f"Warning:  {warning}" for warning in self.warnings),
        ]
        return "\n".join(lines)

    @property
    def _starved(self) -> bool:
        return self.batch_seconds > 1.1 * self.step_seconds


def rehearse_plan(plan: Plan, *, anew: bool = False) -> dict[str, Rehearsal]:
    """Rehearse what :func:`nr3d.runs.transfer.train_plan` would train.

    Args:
        plan: the plan to rehearse.
        anew: whether the run may train over one that ended before its first checkpoint.

    Returns:
        dict: the rehearsal of ``run``, and before it that of ``first`` if that is to be trained.

    Raises:
        Nr3dError: for everything that would stop the run and that the user can fix.
    """
    with opened(plan.started, Command.TRAIN) as run:
        first = unfinished_first(plan)
        if first is None:
            return {"run": rehearse_run(run, anew=anew)}
        # In the order in which training checks them.
        later = rehearse_run(run.without_weights(), anew=anew)
        return {"first": rehearse(first, anew=True), "run": later}


def rehearse_splits(plan: Plan, splits: Sequence[int] | None = None) -> dict[str, Rehearsal]:
    """Rehearse the first split that is not finished; the result is empty if all are.

    Args:
        plan: the plan of a dataset that has splits.
        splits: numbers of the splits, from 0. Default is all.

    Returns:
        dict: the rehearsals of the split, as for :func:`rehearse_plan`.

    Raises:
        Nr3dError: for everything that would stop the run and that the user can fix.
    """
    with opened(plan.cfg, Command.TRAIN):
        one = unfinished_split(plan, splits)
        return {} if one is None else rehearse_plan(one, anew=True)


def rehearse(cfg: CfgNode, *, anew: bool = False) -> Rehearsal:
    """Load the data and the network of a run, take one step, test one batch, and write nothing.

    Args:
        cfg: a complete configuration.
        anew: whether the run may train over one that ended before its first checkpoint.

    Raises:
        Nr3dError: for everything that would stop the run and that the user can fix.
    """
    with opened(cfg, Command.TRAIN) as run:
        return rehearse_run(run, anew=anew)


def rehearse_run(run: Run, *, anew: bool = False) -> Rehearsal:
    """Rehearse a run that is opened; arguments and errors are those of :func:`rehearse`."""
    done = prepare(run, anew=anew)
    cfg, datamanager, engine = run.cfg, run.datamanager, run.engine
    if not isinstance(engine, VideoNot3DEngine):
        raise ConfigError(
            f"engine is {cfg.engine!r}, and --dry-run rehearses nr3d's engine alone: leave "
            "--dry-run out, or set engine nr3d"
        )
    batches = len(datamanager.train_loader)
    batch = next(iter(datamanager.train_loader))
    at_once = max(1, datamanager.train_loader.num_workers)
    clips = min(_TIMED_CLIPS, len(datamanager.train_tracklets))
    of_clips = _seconds(lambda: [datamanager.train_loader.dataset[i] for i in range(clips)])
    batch_seconds = of_clips / clips * cfg.train.batch_size / engine.world.size / at_once

    engine.set_model_mode("train")
    engine.epoch, engine.max_epoch, engine.batch_idx, engine.num_batches = 0, 1, 0, 1
    losses: dict[str, float] = engine.forward_backward(dict(batch))  # which also warms up
    step_seconds = _seconds(lambda: engine.forward_backward(dict(batch)))
    test_seconds, tracklets, frames = _test_seconds(engine)
    in_turn = step_seconds + batch_seconds
    overlapped = max(step_seconds, batch_seconds)
    last = cfg.train.max_epoch
    due = [
        epoch
        for epoch in range(done + 1, last)
        if is_test_due(epoch, start_eval=cfg.test.start_eval, eval_freq=cfg.test.eval_freq)
    ]

    used, total = _memory(engine.device)
    checkpoint = _bytes_of(
        [
            engine.model.state_dict(),
            *(module.state_dict() for module in engine.criterion.states().values()),
            engine.optimizer.state_dict(),
        ]
    )
    free = shutil.disk_usage(nearest(cfg.data.save_dir)).free
    warnings = []
    if used > 0.9 * total > 0:
        warnings.append(
            "memory is all but full: lower train.batch_size and raise train.accumulation_steps"
        )
    if _CHECKPOINTS * checkpoint > free:
        warnings.append("the disk has no room for the checkpoints: give another data.save_dir")
    return Rehearsal(
        device=str(engine.device),
        precision=engine.precision.name,
        tracklets=len(datamanager.train_tracklets),
        identities=datamanager.num_train_pids,
        batches=batches,
        epochs=max(0, last - done),
        test_tracklets=tracklets,
        test_frames=frames,
        tests=len(due) + 1,
        losses=losses,
        step_seconds=step_seconds,
        batch_seconds=batch_seconds,
        epoch_seconds=batches * (overlapped if datamanager.train_loader.num_workers else in_turn),
        test_seconds=test_seconds,
        memory_bytes=used,
        memory_total_bytes=total,
        checkpoint_bytes=checkpoint,
        disk_free_bytes=free,
        warnings=tuple(warnings),
    )


def _test_seconds(engine: VideoNot3DEngine) -> tuple[float, int, int]:
    """Estimate the duration of a test from one batch; return its tracklets and frames too."""
    parts_of_datasets = engine.datamanager.test_loader.values()
    loaders = [loader for parts in parts_of_datasets for loader in parts.values()]
    tests = [loader.tracklets for loader in loaders]
    tracklets = sum(len(of_test) for of_test in tests)
    loader = max(loaders, key=len)  # most likely a gallery
    started = time.perf_counter()
    batch: Any = loader.dataset[0]
    if isinstance(batch, Nr3dError):
        raise batch
    read = time.perf_counter() - started
    images = loader.tracklets.transform.normalise(batch["img"].to(engine.device))
    inference = engine.inference()
    clips = torch.tensor(loader.tracklets.clips(len(images)))  # (n, T)

    def network_pass() -> Any:
        if inference.frame_wise:
            return inference.of_frames(images)
        return inference.embed(images[clips])

    network_pass()  # warms up
    network = _seconds(network_pass)
    read /= max(1, loader.num_workers)  # threads have already shared the reading
    a_frame = (max(read, network) if loader.num_workers else read + network) / len(images)
    frames = sum(len(of_test.positions(i)) for of_test in tests for i in range(len(of_test)))
    return frames * a_frame / engine.world.size, tracklets, frames


def _seconds(work: Any) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _memory(device: torch.device) -> tuple[int, int]:
    """Return the peak and the total memory in bytes; zeros where they are not known."""
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        return torch.cuda.max_memory_reserved(device), total
    if sys.platform == "win32":
        return 0, 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
    return peak, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _bytes_of(content: Any) -> int:
    """Return the size of the tensors in nested dicts and lists, in bytes."""
    if isinstance(content, Tensor):
        return content.nbytes
    if isinstance(content, Mapping):
        return sum(_bytes_of(value) for value in content.values())
    if isinstance(content, list | tuple):
        return sum(_bytes_of(value) for value in content)
    return 0


def _span(seconds: float) -> str:
    """Return a duration as people write it."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return str(datetime.timedelta(seconds=round(seconds)))
