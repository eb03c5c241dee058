"""The training loop: the epochs of a run, and the batches of an epoch."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch.nn.parallel import DistributedDataParallel

from nr3d import parallel
from nr3d.engine.attention import ADVICE, health_in, record_of, taken_out
from nr3d.engine.batches import on_device
from nr3d.engine.safe_points import stop_if_asked, stop_within_epoch, test_or_stop
from nr3d.engine.step import explained_step
from nr3d.errors import Nr3dError
from nr3d.host import torchreid
from nr3d.models import BottleneckNorm
from nr3d.models.aggregations.attention_health import FLAT
from nr3d.processes import stopping

if TYPE_CHECKING:
    from nr3d.engine.engine import VideoNot3DEngine


@dataclass(frozen=True)
class RunArguments:
    """Arguments of torchreid's ``Engine.run`` that describe a training run.

    Args:
        save_dir: the run's folder.
        start_epoch, max_epoch: number of epochs finished before the run, and at its end.
        print_freq: number of batches between printed lines; 0 prints one line per epoch.
        fixbase_epoch: number of epochs at the start in which only ``open_layers`` learn.
        open_layers: names of those parts of the model.
        start_eval: number of the first epoch that may be tested, from 1.
        eval_freq: number of epochs between tests; -1 tests after the last epoch only.
        test: arguments of the engine's ``test``.
    """

    save_dir: str
    start_epoch: int
    max_epoch: int
    print_freq: int
    fixbase_epoch: int
    open_layers: str | list[str] | None
    start_eval: int
    eval_freq: int
    test: Mapping[str, Any]

    def tests_after(self, epochs: int) -> bool:
        """Return whether a test is due after a number of epochs."""
        due = is_test_due(epochs, start_eval=self.start_eval, eval_freq=self.eval_freq)
        return due or epochs == self.max_epoch


def is_test_due(epochs: int, *, start_eval: int, eval_freq: int) -> bool:
    """Return whether a test within a run is due; the one at its end is due in any case.

    Args:
        epochs: number of finished epochs.
        start_eval, eval_freq: as for :class:`RunArguments`.
    """
    return eval_freq > 0 and epochs >= start_eval and epochs % eval_freq == 0


def run_epochs(engine: VideoNot3DEngine, run: RunArguments) -> None:
    """Train and test until the last epoch, or until the run is asked to stop.

    Args:
        engine: engine whose ``train``, ``test`` and ``save_model`` are called.
        run: arguments of the run.

    Raises:
        Nr3dError: if the loss is no longer finite, or the data cannot be used.
        Interrupted: if the run was asked to stop; the last checkpoint has then been written.
    """
    started = time.perf_counter()
    engine.start_epoch, engine.max_epoch = run.start_epoch, run.max_epoch
    begin(engine, run.start_epoch, run.save_dir, freezes=run.fixbase_epoch > 0)
    try:
        with stopping.at_safe_points():
            engine.journal.say("=> Start training")
            if engine.progress.untested:
                engine.epoch = run.start_epoch - 1
                engine.save_model(engine.epoch, test_or_stop(engine, run.test), run.save_dir)
            elif run.start_epoch >= run.max_epoch > 0:
                epochs = f"{run.start_epoch} of {run.max_epoch} epochs are done"
                engine.journal.say(f"=> Nothing left to train: {epochs}")
                with stopping.at_once():
                    engine.test(**run.test)
            for epoch in range(run.start_epoch, run.max_epoch):
                engine.epoch = epoch
                _run_epoch(engine, run)
        elapsed = datetime.timedelta(seconds=round(time.perf_counter() - started))
        engine.journal.say(f"Elapsed {elapsed}")
    finally:
        engine.journal.close()
        # The wrapper holds the process group, whose threads must end before the interpreter does.
        engine.step.model = engine.model


def begin(engine: VideoNot3DEngine, start_epoch: int, save_dir: str, *, freezes: bool) -> None:
    """Continue a run from its checkpoint, or start a new one.

    Args:
        engine: engine of the run.
        start_epoch: number of finished epochs.
        save_dir: the run's folder.
        freezes: whether parts of the model are frozen in some epochs.
    """
    progress = engine.progress = engine.progress.taken_up(start_epoch)
    if engine.world.size > 1:
        parallel.copy_from_first([p.data for p in engine.criterion.parameters()])
        for module in engine.model.modules():
            if isinstance(module, BottleneckNorm):
                module.freeze()  # an earlier run() unfroze it; DDP would await a gradient
        engine.step.model = DistributedDataParallel(
            engine.model,
            device_ids=[engine.device.index] if engine.device.type == "cuda" else None,
            find_unused_parameters=freezes or engine.criterion.leaves_parameters_out,
        )
    begun = start_epoch * engine.num_batches + progress.step
    engine.journal.open(
        save_dir, epoch=start_epoch, untested=progress.untested, first_step=begun or None
    )


def _run_epoch(engine: VideoNot3DEngine, run: RunArguments) -> None:
    """Train one epoch, test if a test is due, and write the checkpoint."""
    started = time.perf_counter()
    lr = engine.get_current_lr()
    losses = engine.train(run.print_freq, run.fixbase_epoch, run.open_layers, run.save_dir)
    done = engine.epoch + 1
    record = {"kind": "epoch", "epoch": done, "lr": lr, **losses}
    record |= record_of(engine.attention)
    record["bad_frames"] = len(engine.bad_frames())
    record["seconds"] = round(time.perf_counter() - started, 3)
    engine.journal.epoch(record, run.max_epoch, run.save_dir, engine.attention)
    _say_once_if_flat(engine)
    rank1 = test_or_stop(engine, run.test) if run.tests_after(done) else None
    engine.save_model(engine.epoch, rank1, run.save_dir)
    if done < run.max_epoch:  # otherwise nothing is left to stop
        stop_if_asked(engine, run.save_dir, written=True)


def _say_once_if_flat(engine: VideoNot3DEngine) -> None:
    """Say, once in a run, that the attention was flat for an epoch in which it could learn."""
    progress = engine.progress
    flat = engine.attention is not None and engine.attention.state == FLAT
    if flat and engine.step.attention.learns and not progress.flatness_said:
        engine.journal.say(f"attention: flat for the whole of epoch {engine.epoch + 1}: {ADVICE}")
        progress.flatness_said = True


def train_epoch(engine: VideoNot3DEngine, print_freq: int, save_dir: str) -> dict[str, float]:
    """Train the rest of an epoch.

    Args:
        engine: engine whose ``forward_backward`` takes each batch.
        print_freq: number of batches between printed lines; 0 prints none.
        save_dir: folder of the checkpoints within the epoch.

    Returns:
        dict: mean of each loss term over the epoch, by name; the progress holds the sums of all
        figures.

    Raises:
        Nr3dError: if there is no whole batch, or the data cannot skip to the batch to start from.
        Interrupted: if the run was asked to stop; the last checkpoint has then been written.
    """
    progress = engine.progress
    if hasattr(engine.train_loader, "set_epoch"):
        engine.train_loader.set_epoch(engine.epoch, progress.step)
    elif progress.step:
        raise Nr3dError(
            f"The checkpoint stands at batch {progress.step} of an epoch, which this data cannot "
            "start from: train with nr3d.data.ClipDataManager."
        )
    engine.num_batches = len(engine.train_loader)
    if engine.num_batches == 0:
        raise Nr3dError(
            "The training set gives no whole batch: set train.batch_size to fewer clips."
        )
    of_losses = dict(progress.sums)
    attention = _meter_of(taken_out(of_losses))
    meter = _meter_of(of_losses)
    title = f"Epoch {engine.epoch + 1}/{engine.max_epoch}"
    with (
        explained_step(),
        engine.step.attention.watching(),
        engine.journal.bar(engine.num_batches, progress.step, title) as bar,
    ):
        batches = on_device(engine.train_loader, engine.device)
        for number, data in enumerate(batches, progress.step):
            engine.batch_idx = number
            summary = engine.forward_backward(data)
            figures = taken_out(summary)
            attention.update(figures)
            meter.update(summary)
            progress.step = number + 1
            bar.set_postfix(loss=f"{summary['loss']:.3f}", refresh=False)
            bar.update()
            if print_freq > 0 and progress.step % print_freq == 0:
                engine.journal.say(
                    f"epoch: [{engine.epoch + 1}/{engine.max_epoch}]"
                    f"[{progress.step}/{engine.num_batches}]\t{meter}\t"
                    f"lr {engine.get_current_lr():.6f}"
                )
            curves = {**summary, **record_of(health_in(figures))}
            engine.journal.step(curves, engine.epoch * engine.num_batches + number)
            meters = {**meter.meters, **attention.meters}
            progress.sums = {k: (m.sum, m.count) for k, m in meters.items()}
            due = _checkpoint_due(engine)
            if due:
                engine.checkpoints.write_last(progress, save_dir)
            stop_within_epoch(engine, save_dir, written=due)
    return {name: value.avg for name, value in meter.meters.items()}


def _checkpoint_due(engine: VideoNot3DEngine) -> bool:
    """Return whether a checkpoint within the epoch is due after the current batch."""
    done, every = engine.batch_idx + 1, engine.options.checkpoint_steps
    return (
        every > 0
        and done % (every * engine.options.accumulation_steps) == 0
        and done < engine.num_batches
    )


def _meter_of(sums: Mapping[str, tuple[float, int]]) -> Any:
    """Return torchreid's meter with the sums of an epoch up to where it was stopped."""
    meter = torchreid.utils.MetricMeter()
    for name, (total, count) in sums.items():
        one = meter.meters[name]
        one.sum, one.count, one.avg = total, count, total / count
    return meter
