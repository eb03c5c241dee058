"""A rehearsal before a long run: one batch, one step, one test batch, and what the run takes."""

from __future__ import annotations

import datetime
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from yacs.config import CfgNode

from nr3d import parallel
from nr3d.data import ClipDataManager
from nr3d.engine import VideoNot3DEngine
from nr3d.errors import ConfigError, Nr3dError
from nr3d.files.home import expanded
from nr3d.runs import building, experiment, stages

_TIMED_CLIPS = 8
"""Clips whose making is timed, to tell how long a batch takes."""

_CHECKPOINTS = 3
"""The last, the best, and one that is being written."""


@dataclass(frozen=True)
class Rehearsal:
    """What a run will take, from a single step of it.

    Args:
        device: that it runs on.
        precision: that it computes in.
        tracklets, identities: to train on.
        batches: of an epoch.
        epochs: of the run, but for those that a resumed one has done.
        test_tracklets, test_frames: of a test, all datasets together.
        tests: of these epochs.
        losses: of the step, by name.
        step_seconds: of a step, the batch being there.
        batch_seconds: of making a batch, by all of the loader's workers together.
        epoch_seconds, test_seconds: of an epoch and of a test.
        memory_bytes: at its highest, of the GPU or of this process.
        memory_total_bytes: that there are.
        checkpoint_bytes: of a checkpoint.
        disk_free_bytes: where the run writes.
        warnings: what the run would not survive.
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
        """Of the whole run."""
        return self.epochs * self.epoch_seconds + self.tests * self.test_seconds

    def to_mapping(self) -> dict[str, Any]:
        """Give everything as plain values, for a machine."""
        return {**asdict(self), "seconds": self.seconds}

    def __str__(self) -> str:
        """Say it in a few lines."""
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


def rehearse_plan(plan: stages.Plan, *, anew: bool = False) -> dict[str, Rehearsal]:
    """Rehearse what a plan says: ``run``, and before it ``first`` where that is to be trained.

    Args:
        plan: what to rehearse.
        anew: as for :func:`nr3d.runs.experiment.train`, of ``run``.

    Raises:
        Nr3dError: for anything that would stop the run and that the user can mend.
    """
    building.check(plan.cfg)
    with parallel.joined(plan.cfg.use_gpu):
        left = stages.outstanding(plan)
        if left.first is None:
            return {"run": rehearse(left.cfg, anew=anew)}
        # In the order in which the run checks them.
        later = rehearse(stages.before_its_first(left.cfg), anew=anew)
        return {"first": rehearse(left.first, anew=True), "run": later}


def rehearse_splits(plan: stages.Plan, splits: Sequence[int] | None = None) -> dict[str, Rehearsal]:
    """Rehearse the first split that is not finished; nothing where all are.

    Args:
        plan: of a dataset with splits.
        splits: from 0; default is all.

    Raises:
        Nr3dError: for anything that would stop the run and that the user can mend.
    """
    with parallel.joined(plan.cfg.use_gpu):
        _, plans = stages.split_plans(plan, splits)
        for one in plans.values():
            result, cfg = stages.standing(one.cfg)
            if result is None:
                return rehearse_plan(stages.Plan(cfg, one.first), anew=True)
        return {}


def rehearse(cfg: CfgNode, *, anew: bool = False) -> Rehearsal:
    """Load a run's data and network, take one step and test one tracklet, and write nothing.

    Args:
        cfg: a whole configuration.
        anew: as for :func:`nr3d.runs.experiment.train`.

    Raises:
        Nr3dError: for anything that would stop the run and that the user can mend.
    """
    building.check(cfg)
    with parallel.joined(cfg.use_gpu):
        engine, done = experiment.prepare(cfg, anew=anew)
        if not isinstance(engine, VideoNot3DEngine):
            raise ConfigError(
                f"engine is {cfg.engine!r}, and --dry-run rehearses nr3d's engine alone: leave "
                "--dry-run out, or set engine nr3d"
            )
        return _rehearse(cfg, engine.datamanager, engine, done)


def _rehearse(
    cfg: CfgNode, datamanager: ClipDataManager, engine: VideoNot3DEngine, done: int
) -> Rehearsal:
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
    test_seconds, tracklets, frames = _test_seconds(datamanager, engine)
    in_turn = step_seconds + batch_seconds
    overlapped = max(step_seconds, batch_seconds)
    last, every = cfg.train.max_epoch, cfg.test.eval_freq
    left = range(done + 1, last)
    due = {e for e in left if every > 0 and cfg.test.start_eval <= e and not e % every}

    used, total = _memory(engine.device)
    checkpoint = _bytes_of(
        [
            engine.model.state_dict(),
            *(module.state_dict() for module in engine.criterion.states().values()),
            engine.optimizer.state_dict(),
        ]
    )
    free = shutil.disk_usage(_existing(Path(cfg.data.save_dir))).free
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


def _test_seconds(datamanager: ClipDataManager, engine: VideoNot3DEngine) -> tuple[float, int, int]:
    """Give how long a test takes, from one batch of frames, and its tracklets and frames."""
    loaders = [loader for parts in datamanager.test_loader.values() for loader in parts.values()]
    tracklets = [paths for loader in loaders for paths, *_ in loader.tracklets.tracklets]
    loader = max(loaders, key=len)  # the gallery, most likely
    started = time.perf_counter()
    batch: Any = loader.dataset[0]
    if isinstance(batch, Nr3dError):
        raise batch
    read = time.perf_counter() - started
    images = loader.tracklets.transform.normalise(batch["img"].to(engine.device))
    inference = engine.inference()
    inference.of_frames(images)  # warms up
    network = _seconds(lambda: inference.of_frames(images))
    read /= max(1, loader.num_workers)  # threads have shared it already
    a_frame = (max(read, network) if loader.num_workers else read + network) / len(images)
    frames = sum(len(paths) for paths in tracklets)
    return frames * a_frame / engine.world.size, len(tracklets), frames


def _seconds(work: Any) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _memory(device: torch.device) -> tuple[int, int]:
    """Give the most that was used, and what there is, in bytes; zeros where none can tell."""
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
    """Add up the tensors in nested dicts and lists."""
    if isinstance(content, Tensor):
        return content.nbytes
    if isinstance(content, Mapping):
        return sum(_bytes_of(value) for value in content.values())
    if isinstance(content, list | tuple):
        return sum(_bytes_of(value) for value in content)
    return 0


def _existing(folder: Path) -> Path:
    """Give the nearest folder above that is there."""
    folder = expanded(folder, ConfigError).absolute()
    return next(place for place in (folder, *folder.parents) if place.is_dir())


def _span(seconds: float) -> str:
    """Say a time as a person reads it."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return str(datetime.timedelta(seconds=round(seconds)))
