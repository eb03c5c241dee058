"""The engine: torchreid's training and testing, with clips whole and the method's losses."""

from __future__ import annotations

import contextlib
import datetime
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD, Optimizer
from tqdm import tqdm

from nr3d import parallel
from nr3d.data import ClipDataManager
from nr3d.engine.batches import on_device
from nr3d.engine.randomness import random_states, set_random_states
from nr3d.engine.records import append_record, drop_records_after
from nr3d.engine.results import TestResult
from nr3d.engine.scalars import ScalarLog
from nr3d.engine.state import (
    BEST,
    LAST,
    Progress,
    facts_of,
    not_finite,
    restore_run,
    run_state,
)
from nr3d.engine.step import StepOptions, TrainingStep
from nr3d.engine.testing import Judgement, TestOptions, checked_ranks, evaluate_dataset
from nr3d.errors import DataError, Nr3dError
from nr3d.features.extraction import POOLINGS
from nr3d.features.inference import Inference
from nr3d.features.precision import Precision
from nr3d.features.resources import explained, require_compiler
from nr3d.files.atomic import sole_writer
from nr3d.host import torchreid
from nr3d.losses import Not3DLoss
from nr3d.metrics import METRICS
from nr3d.models import BottleneckNorm, channels_innermost, synchronise_norms
from nr3d.processes import stopping
from nr3d.processes.stopping import Interrupted
from nr3d.report import write_rankings
from nr3d.weights import write_checkpoint

_LEAST_SCALE = 1e-4
"""Of fp16's loss. Below it what is scaled is too small for fp16's numbers anyway."""


class VideoNot3DEngine(torchreid.engine.Engine):  # type: ignore[misc]
    """Train and test a video model with the losses of Not 3D Re-ID.

    Clips go in whole. The loss is :class:`nr3d.losses.Not3DLoss`; its centers are learnt by an SGD
    of their own, whose gradient does not carry the center loss's weight. A tracklet's feature is
    the mean over its clips. :meth:`run` and :meth:`test` have torchreid's arguments and meaning;
    on top of it, ``model-last.pth.tar`` is written after every epoch and ``model-best.pth.tar``
    when rank-1 is the best so far, and ``metrics.jsonl`` gets a line per epoch and per test.

    In processes that torchrun started and :func:`nr3d.parallel.joined` joined, each trains on its
    share of every batch, with the gradients averaged, and the first alone writes and reports.

    Reference:
        Alsehaim and Breckon. Not 3D Re-ID: Simple Single Stream 2D Convolution for Robust Video
        Re-identification. ICPR 2020. arXiv:2008.06318.

    Args:
        datamanager: the data; a stock ``VideoDataManager`` works too, its
            frames then count as not erased.
        model: built with ``loss='not3d'``.
        optimizer: of the model's parameters.
        scheduler: stepped once an epoch; None keeps the learning rate.
        use_gpu: train on the GPU where there is one.
        criterion (Not3DLoss, optional): Default is the paper's, for the data's identities.
        center_lr: learning rate of the centers. Paper: 0.5.
        pooling_method: from a tracklet's clips to its feature: ``'avg'`` (paper), ``'max'``.
        options: how a step is computed.
        test_options: how a test is computed and judged.
        config: sections and keys that the run was made from, kept in its checkpoints.

    Attributes:
        results: dataset name to the :class:`TestResult` of the last test.
        by_protocol: dataset name to the results by every protocol that was asked for.
        distances: dataset name to the (Q, G) distances that the last test ranked by, where they
            take no more than the memory that a test may take.

    Raises:
        ValueError: if the model was built for another loss, or for another pooling.
        Nr3dError: if a run of several processes has data that each would take whole.

    Examples::
        datamanager = nr3d.data.ClipDataManager(root="path/to/reid-data", sources="mars")
        model = torchreid.models.build_model("nr3d_resnet50_ibn", loss="not3d")
        optimizer = torchreid.optim.build_optimizer(model, optim="adam", lr=3.5e-4)
        scheduler = nr3d.engine.warmup_multi_step(optimizer)
        engine = torchreid.engine.VideoNot3DEngine(datamanager, model, optimizer, scheduler)
        engine.run(save_dir="log/mars", max_epoch=200, eval_freq=10)
    """

    def __init__(
        self,
        datamanager: Any,
        model: nn.Module,
        optimizer: Optimizer,
        scheduler: Any | None = None,
        use_gpu: bool = True,
        criterion: Not3DLoss | None = None,
        center_lr: float = 0.5,
        pooling_method: str = "avg",
        options: StepOptions | None = None,
        test_options: TestOptions | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(datamanager, use_gpu)
        if pooling_method not in POOLINGS:
            raise ValueError(
                f"pooling_method is {pooling_method!r}, expected one of {list(POOLINGS)}"
            )
        self.pooling_method = pooling_method
        network = model.module if isinstance(model, nn.DataParallel) else model
        if getattr(network, "loss", None) != "not3d":
            raise ValueError(
                f"the model was built with loss={getattr(network, 'loss', None)!r}, expected "
                "'not3d': build_model(..., loss='not3d')"
            )
        self.world = parallel.world()
        if self.world.size > 1 and not isinstance(datamanager, ClipDataManager):
            raise Nr3dError(
                f"{type(datamanager).__name__} gives each of the {self.world.size} processes the "
                "whole data: train with nr3d.data.ClipDataManager, or in one process."
            )
        self.options = options or StepOptions()
        self.test_options = test_options or TestOptions()
        # The GPU that the process took when it joined the others.
        gpu = torch.device("cuda", torch.cuda.current_device()) if self.use_gpu else None
        self.device = gpu or torch.device("cpu")
        self.precision = Precision(self.options.precision, self.device)
        if criterion is None:
            feature_dim: Any = network.feature_dim
            criterion = Not3DLoss(datamanager.num_train_pids, int(feature_dim))
        self.criterion = criterion.to(self.device)
        self.model = model.to(self.device)
        if self.options.channels_last:
            channels_innermost(self.model)
        if self.options.sync_norms and self.world.size > 1:
            synchronise_norms(self.model)
        if self.test_options.inference.compile:
            require_compiler(self.device, "test.compile")
        if self.options.compile:
            require_compiler(self.device, "train.compile")
            trunk: Any = network.backbone
            trunk.compile()
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.center_optimizer = SGD(self.criterion.center.parameters(), lr=center_lr)
        self.step = TrainingStep(
            self.model,
            self.criterion,
            optimizer,
            self.center_optimizer,
            self.precision,
            self.options,
        )
        self.register_model("model", self.model, optimizer, scheduler)
        self.register_model("center", self.criterion.center, self.center_optimizer, None)
        self.results: dict[str, TestResult] = {}
        self.by_protocol: dict[str, Mapping[str, TestResult]] = {}
        self.distances: dict[str, npt.NDArray[np.float32]] = {}
        self.config = config
        self.writer: ScalarLog | None = None
        self.num_batches = len(self.train_loader)
        self._progress = Progress()
        self._dist_metric: str | None = None

    @property
    def best_rank1(self) -> float | None:
        """The best rank-1 of the run's tests, 0..1; None before the first."""
        return self._progress.best_rank1

    def bad_frames(self) -> list[str]:
        """Frames that were left out so far, by any process; every process has to ask."""
        own = sorted(getattr(self.datamanager, "bad_frames", ()))  # a stock manager has none
        return sorted({path for share in parallel.of_all(own) for path in share})

    def run(
        self,
        save_dir: str = "log",
        max_epoch: int = 0,
        start_epoch: int = 0,
        print_freq: int = 10,
        fixbase_epoch: int = 0,
        open_layers: str | list[str] | None = None,
        start_eval: int = 0,
        eval_freq: int = -1,
        test_only: bool = False,
        dist_metric: str = "euclidean",
        normalize_feature: bool = False,
        visrank: bool = False,
        visrank_topk: int = 10,
        use_metric_cuhk03: bool = False,
        ranks: Sequence[int] = (1, 5, 10, 20),
        rerank: bool = False,
    ) -> None:
        """Train and test as torchreid's ``Engine.run`` does; its arguments and their meaning.

        ``print_freq`` of 0 prints no line between epochs. ``rerank`` counts for ``test_only``.

        Raises:
            ValueError: if ``visrank`` is asked for without ``test_only``.
            Nr3dError: if the loss is no longer finite, or the data is not usable.
            Interrupted: if :func:`nr3d.processes.stopping.request` asked the run to stop, or an
                interrupt ended a test within it; its last checkpoint is then written.
        """
        if visrank and not test_only:
            raise ValueError("visrank can be set to True only if test_only=True")
        self._check_test(dist_metric, ranks, visrank_topk, use_metric_cuhk03)
        test_options: dict[str, Any] = {
            "dist_metric": dist_metric,
            "normalize_feature": normalize_feature,
            "visrank": visrank,
            "visrank_topk": visrank_topk,
            "save_dir": save_dir,
            "use_metric_cuhk03": use_metric_cuhk03,
            "ranks": ranks,
        }
        if test_only:
            self.test(**test_options, rerank=rerank)
            return

        started = time.perf_counter()
        self.start_epoch, self.max_epoch = start_epoch, max_epoch
        self._begin(start_epoch, save_dir, freezes=fixbase_epoch > 0)
        try:
            with stopping.at_safe_points():
                self._say("=> Start training")
                if self._progress.untested:
                    self.epoch = start_epoch - 1
                    self.save_model(self.epoch, self._test_in_run(test_options), save_dir)
                elif start_epoch >= max_epoch > 0:
                    epochs = f"{start_epoch} of {max_epoch} epochs are done"
                    self._say(f"=> Nothing left to train: {epochs}")
                    with stopping.at_once():
                        self.test(**test_options)
                for self.epoch in range(start_epoch, max_epoch):
                    epoch_started = time.perf_counter()
                    lr = self.get_current_lr()
                    losses = self.train(print_freq, fixbase_epoch, open_layers, save_dir)
                    done = self.epoch + 1
                    record = {"kind": "epoch", "epoch": done, "lr": lr, **losses}
                    record["bad_frames"] = len(self.bad_frames())
                    record["seconds"] = round(time.perf_counter() - epoch_started, 3)
                    self._record(save_dir, record)
                    self._say(_epoch_line(record, max_epoch))
                    due = eval_freq > 0 and done >= start_eval and done % eval_freq == 0
                    rank1 = None
                    if due or done == max_epoch:
                        rank1 = self._test_in_run(test_options)
                    self.save_model(self.epoch, rank1, save_dir)
                    if done < max_epoch:  # else there is no more to stop
                        self._stop_if_asked(save_dir, written=True)
            elapsed = datetime.timedelta(seconds=round(time.perf_counter() - started))
            self._say(f"Elapsed {elapsed}")
        finally:
            if self.writer is not None:
                self.writer.close()
                self.writer = None

    def _begin(self, start_epoch: int, save_dir: str, *, freezes: bool) -> None:
        """Take up a run where its checkpoint left it, or a new one."""
        progress = self._progress
        if progress.epoch != start_epoch:
            progress = self._progress = Progress(start_epoch, best_rank1=progress.best_rank1)
        elif progress.random is not None:
            set_random_states(progress.random)
            progress.random = None
        if self.world.size > 1:
            parallel.copy_from_first([p.data for p in self.criterion.center.parameters()])
            for module in self.model.modules():
                if isinstance(module, BottleneckNorm):
                    module.freeze()  # an earlier run() opened it, and no gradient is waited for
            self.step.model = DistributedDataParallel(
                self.model,
                device_ids=[self.device.index] if self.device.type == "cuda" else None,
                find_unused_parameters=freezes,
            )
        if self.world.first:
            # What a stopped run wrote after its last checkpoint is written again.
            drop_records_after(save_dir, start_epoch, untested=progress.untested)
            begun = start_epoch * self.num_batches + progress.step
            self.writer = ScalarLog(save_dir, purge_step=begun or None)

    def train(
        self,
        print_freq: int = 10,
        fixbase_epoch: int = 0,
        open_layers: str | list[str] | None = None,
        save_dir: str = "",
    ) -> dict[str, float]:
        """Train one epoch and step the schedule; gives each loss term's mean over the epoch."""
        self.set_model_mode("train")
        self.two_stepped_transfer_learning(self.epoch, fixbase_epoch, open_layers)
        progress = self._progress
        if hasattr(self.train_loader, "set_epoch"):
            self.train_loader.set_epoch(self.epoch, progress.step)
        elif progress.step:
            raise Nr3dError(
                f"The checkpoint stands at batch {progress.step} of an epoch, to which this data "
                "cannot go: train with nr3d.data.ClipDataManager."
            )
        self.num_batches = len(self.train_loader)
        if self.num_batches == 0:
            raise Nr3dError(
                "The training set gives no whole batch: set train.batch_size to fewer clips."
            )
        meter = _meter_of(progress.sums)
        with (
            _explained(),
            tqdm(
                total=self.num_batches,
                initial=progress.step,
                desc=f"Epoch {self.epoch + 1}/{self.max_epoch}",
                unit="batch",
                leave=False,
                disable=None if self.world.first else True,
            ) as bar,
        ):
            batches = on_device(self.train_loader, self.device)
            for self.batch_idx, data in enumerate(batches, progress.step):
                summary = self.forward_backward(data)
                meter.update(summary)
                progress.step = self.batch_idx + 1
                bar.set_postfix(loss=f"{summary['loss']:.3f}", refresh=False)
                bar.update()
                if print_freq > 0 and (self.batch_idx + 1) % print_freq == 0:
                    self._say(
                        f"epoch: [{self.epoch + 1}/{self.max_epoch}]"
                        f"[{self.batch_idx + 1}/{self.num_batches}]\t{meter}\t"
                        f"lr {self.get_current_lr():.6f}"
                    )
                if self.writer is not None:
                    step = self.epoch * self.num_batches + self.batch_idx
                    for name, value in summary.items():
                        self.writer.add_scalar(f"Train/{name}", value, step)
                progress.sums = {k: (m.sum, m.count) for k, m in meter.meters.items()}
                due = self._checkpoint_due()
                if due:
                    self._write(self._state(None), Path(save_dir) / LAST)
                self._stop_within_epoch(save_dir, written=due)
        self.update_lr()
        self._progress = Progress(epoch=self.epoch + 1, best_rank1=progress.best_rank1)
        return {name: value.avg for name, value in meter.meters.items()}

    def _checkpoint_due(self) -> bool:
        """Say whether a checkpoint within the epoch falls after this batch."""
        done, every = self.batch_idx + 1, self.options.checkpoint_steps
        return (
            every > 0
            and done % (every * self.options.accumulation_steps) == 0
            and done < self.num_batches
        )

    def _stop_within_epoch(self, save_dir: str, *, written: bool) -> None:
        """Stop after this batch if that was asked for and a run can go on from here."""
        done = self.batch_idx + 1
        whole = done % self.options.accumulation_steps == 0
        # After the last batch the epoch is ended first.
        if whole and done < self.num_batches and hasattr(self.train_loader, "set_epoch"):
            self._stop_if_asked(save_dir, written=written)

    def _stop_if_asked(self, save_dir: str, *, written: bool = False) -> None:
        """End the run with a checkpoint if a process of it was asked to stop.

        Args:
            save_dir: the run's folder.
            written: whether its last checkpoint is of this moment.

        Raises:
            Interrupted: if so, in all processes.
        """
        asked = parallel.greatest(stopping.requested())
        if asked:
            self._stop(asked, save_dir, written=written)

    def _stop(self, asked: int, save_dir: str, *, written: bool = False) -> NoReturn:
        stopping.withdraw()
        progress, last = self._progress, Path(save_dir) / LAST
        if not written:
            self._write(self._state(None), last)
        where = f"after epoch {progress.epoch}"
        if progress.step:
            where = f"after batch {progress.step} of {self.num_batches} of epoch {self.epoch + 1}"
        elif progress.untested:
            where += ", before its test"
        raise Interrupted(asked, where, last)

    def _test_in_run(self, test_options: Mapping[str, Any]) -> float:
        """Test after an epoch; stopped meanwhile, the run goes on with the same test."""
        progress = self._progress
        progress.untested, progress.random = True, random_states()
        self._stop_if_asked(test_options["save_dir"])
        if self.epoch + 1 == self.max_epoch:
            self._say("=> Final test")
        try:
            with stopping.at_once():
                rank1 = self.test(**test_options)
        except KeyboardInterrupt as error:
            self._stop(getattr(error, "number", signal.SIGINT), test_options["save_dir"])
        progress.untested, progress.random = False, None
        return rank1

    def forward_backward(self, data: dict[str, Any]) -> dict[str, float]:
        """Take one step, or with accumulation a part of one.

        Args:
            data: a training batch.

        Returns:
            dict: the total, each unweighted loss term and the accuracy in percent; with several
            processes, of the batch of all of them.

        Raises:
            Nr3dError: if the loss is not finite, the batch is a single clip, or the memory is too
                small for it.
        """
        clips = len(data["img"])
        if clips == 1 and not (self.options.sync_norms and self.world.size > 1):
            raise Nr3dError(
                "A batch has a single clip, of which the neck cannot take mean and variance: set "
                "train.batch_size (batch_size_train) to two clips or more for each process."
            )
        with _explained():
            summary = self.step(data, self.batch_idx, self.num_batches)
        if not np.isfinite(summary["loss"]):
            terms = ", ".join(f"{k} {v:g}" for k, v in summary.items() if k.startswith("loss"))
            tracklets = "; ".join(data.get("tracklet", ["not named by this data"]))
            raise Nr3dError(
                f"The loss is not finite at epoch {self.epoch + 1}, batch {self.batch_idx + 1} "
                f"({terms}): lower train.lr, or look at the batch's tracklets ({tracklets}). "
                "The last checkpoint is as it was."
            )
        return summary

    def test(
        self,
        dist_metric: str = "euclidean",
        normalize_feature: bool = False,
        visrank: bool = False,
        visrank_topk: int = 10,
        save_dir: str = "",
        use_metric_cuhk03: bool = False,
        ranks: Sequence[int] = (1, 5, 10, 20),
        rerank: bool = False,
    ) -> float:
        """Test on every target dataset by torchreid's protocol; its arguments and their meaning.

        ``visrank`` draws the rankings of all queries as pictures into
        ``save_dir/visrank_<dataset>``.

        Returns:
            float: rank-1 of the last target dataset, 0..1.

        Raises:
            DataError: if a frame or a dataset is not usable.
            ValueError: for a rank outside 1..50 or an unknown metric.
        """
        ranks = self._check_test(dist_metric, ranks, visrank_topk, use_metric_cuhk03)
        self.set_model_mode("eval")
        parallel.copy_from_first(list(self.model.buffers()))
        self._dist_metric = dist_metric
        inference = self.inference()
        rank1 = 0.0
        for name, loaders in self.test_loader.items():
            domain = "source" if name in self.datamanager.sources else "target"
            self._say(f"##### Evaluating {name} ({domain}) #####")
            found = evaluate_dataset(
                name,
                loaders,
                inference,
                pooling=self.pooling_method,
                options=self.test_options,
                ranks=ranks,
                dist_metric=dist_metric,
                normalize_feature=normalize_feature,
                rerank=rerank,
                use_metric_cuhk03=use_metric_cuhk03,
            )
            result = self.results[name] = found.result
            self.by_protocol[name] = found.results
            bad_frames = len(self.bad_frames())
            if self.world.first:
                self.distances.pop(name, None)
                if found.distances is not None:
                    self.distances[name] = found.distances
                for each in found.results.values():
                    self._report(each, ranks, save_dir, bad_frames)
                if visrank:
                    self._draw(found, Path(save_dir), visrank_topk)
            rank1 = result.rank1
        return rank1

    def _check_test(
        self, dist_metric: str, ranks: Sequence[int], topk: int, use_metric_cuhk03: bool
    ) -> list[int]:
        """Refuse arguments of a test before the hours that lie before their use."""
        if dist_metric not in METRICS:
            raise ValueError(f"dist_metric is {dist_metric!r}, expected one of {list(METRICS)}")
        if topk < 1:
            raise ValueError(f"visrank_topk is {topk}, expected at least 1")
        if use_metric_cuhk03 and self.test_options.protocol != "torchreid":
            raise ValueError(
                f"use_metric_cuhk03 is a way of its own, and the protocol is "
                f"{self.test_options.protocol!r}, expected 'torchreid' with it"
            )
        return checked_ranks(ranks)

    def inference(self) -> Inference:
        """Give the network as it is now, made ready to extract features."""
        network: Any = self.model.module if isinstance(self.model, nn.DataParallel) else self.model
        return Inference(network, self.device, self.test_options.inference)

    def _report(
        self, result: TestResult, ranks: Sequence[int], save_dir: str, bad_frames: int
    ) -> None:
        """Print a test's figures as torchreid does, and record them."""
        self._say("** Results **" if result.protocol == "torchreid" else f"** {result.protocol} **")
        self._say(f"mAP: {result.mAP:.1%}")
        self._say("CMC curve")
        for r in ranks:
            self._say(f"Rank-{r:<3}: {result.ranks[r]:.1%}")
        if self.writer is not None:
            self.writer.add_scalar(f"Test/{result.dataset}/rank1", result.rank1, self.epoch)
            self.writer.add_scalar(f"Test/{result.dataset}/mAP", result.mAP, self.epoch)
        if save_dir:
            record = {
                "kind": "test",
                "epoch": self.epoch + 1 if self.writer is not None else None,
                "dataset": result.dataset,
                "protocol": result.protocol,
                "distractors_dropped": result.distractors_dropped,
                **result.figures,
                "bad_frames": bad_frames,
                "seconds": round(result.extract_seconds + result.rank_seconds, 3),
            }
            self._record(save_dir, record)

    def _draw(self, found: Judgement, folder: Path, topk: int) -> None:
        """Draw the rankings of all queries of a dataset, as the protocol that counts ranks."""
        result, distances = found.result, found.distances
        if distances is None:
            raise DataError(
                f"The {result.query} x {result.gallery} distances of {result.dataset} take more "
                "than test.memory_gib: raise it, or test without test.visrank."
            )
        query, gallery = self.datamanager.fetch_test_loaders(result.dataset)
        if found.query_distances is not None:
            distances = np.concatenate([distances, found.query_distances], axis=1)
            gallery = [*gallery, *query]
        of = result.dataset
        if result.protocol != "torchreid":
            of = f"{of} by {result.protocol}"
        pictures = folder / f"visrank_{result.dataset}"
        with sole_writer(pictures):
            pages = write_rankings(
                distances,
                query,
                gallery,
                pictures,
                topk=topk,
                title=f"{of}: rank-1 {result.rank1:.1%}, mAP {result.mAP:.1%}",
            )
        self._say(f"Rankings drawn: {pages[0]} to {pages[-1].name}")

    def save_model(
        self, epoch: int, rank1: float | None, save_dir: str, is_best: bool = False
    ) -> None:
        """Write the run's last checkpoint, and the best if it is.

        Args:
            epoch: the epoch just done, from 0.
            rank1: of the test after it, 0..1; None without a test.
            save_dir: the run's folder.
            is_best: write the best also if rank-1 does not say so.
        """
        progress = self._progress
        progress.epoch, progress.step = epoch + 1, 0
        if rank1 is not None and (progress.best_rank1 is None or rank1 > progress.best_rank1):
            progress.best_rank1, is_best = rank1, True
        state = self._state(rank1)
        if is_best:
            self._write(state, Path(save_dir) / BEST)
        self._write(state, Path(save_dir) / LAST)

    def _write(self, state: dict[str, Any], path: Path) -> None:
        """Write a checkpoint, by the first process alone."""
        if self.world.first:
            write_checkpoint(state, path)

    def _record(self, save_dir: str, record: dict[str, Any]) -> None:
        if self.world.first:
            append_record(save_dir, record)

    def _say(self, line: str) -> None:
        """Report on standard output, as torchreid's engines do, without breaking a bar."""
        if self.world.first:
            tqdm.write(line)
            sys.stdout.flush()  # also where it is a file that somebody follows

    def _state(self, rank1: float | None) -> dict[str, Any]:
        """Gather a checkpoint, by every process, so that all stop where nothing can go on."""
        scale = self.precision.scaler.get_scale()
        if self.precision.scaler.is_enabled() and scale < _LEAST_SCALE:
            raise Nr3dError(
                f"fp16's loss scale has fallen to {scale:g}, since gradients overflow at every "
                "step, and nothing is learnt: set train.precision float32 (or bf16). The last "
                "checkpoint is as it was."
            )
        state = run_state(
            self.model,
            self.criterion.center,
            self.optimizer,
            self.center_optimizer,
            self.scheduler,
            scaler=self.precision.scaler,
            progress=self._progress,
            rank1=rank1,
            facts=self._facts(tested=rank1 is not None),
        )
        damaged = not_finite(state)
        if damaged is not None:
            raise Nr3dError(
                f"The numbers of the run are no longer finite ({damaged}): lower train.lr and go "
                "on with model.resume. The last checkpoint is as it was."
            )
        return state

    def _facts(self, *, tested: bool) -> dict[str, Any]:
        """What belongs to the weights; the figures if they were tested as they are now."""
        # Figures that a reader would take for others are left out.
        results = {
            name: result
            for name, result in (self.results if tested else {}).items()
            if result.protocol == self.test_options.protocol and not result.distractors_dropped
        }
        return {
            **facts_of(self.model, self.datamanager),
            "dist_metric": self._dist_metric,
            "protocol": self.test_options.protocol,
            "results": {name: result.figures for name, result in results.items()},
            "config": None if self.config is None else dict(self.config),
        }

    def resume(self, path: str | Path) -> int:
        """Go on from a checkpoint of a run.

        Args:
            path: ``model-last.pth.tar`` or ``model-best.pth.tar``.

        Returns:
            int: epochs done, the ``start_epoch`` for :meth:`run`.

        Raises:
            WeightsError: if the file cannot be read, is not a run's, or is another network's.
        """
        self._progress = restore_run(
            path,
            self.model,
            self.criterion.center,
            self.optimizer,
            self.center_optimizer,
            self.scheduler,
            scaler=self.precision.scaler,
            facts=self._facts(tested=False),
        )
        return self._progress.epoch


def _explained() -> contextlib.AbstractContextManager[None]:
    """Say what to do where a training step lacks memory or a compiler."""
    return explained(
        "train.batch_size",
        compile_key="train.compile",
        more=" Raise train.accumulation_steps by the same factor to keep the clips of a step; "
        "model.resume goes on from the last checkpoint.",
    )


def _meter_of(sums: Mapping[str, tuple[float, int]]) -> Any:
    """Give torchreid's meter with what an epoch had summed up before it was stopped."""
    meter = torchreid.utils.MetricMeter()
    for name, (total, count) in sums.items():
        one = meter.meters[name]
        one.sum, one.count, one.avg = total, count, total / count
    return meter


def _epoch_line(record: dict[str, Any], max_epoch: int) -> str:
    terms = "  ".join(f"{k} {v:.4g}" for k, v in record.items() if k.startswith("loss"))
    return (
        f"epoch {record['epoch']}/{max_epoch}  {terms}  acc {record['acc']:.1f}  "
        f"lr {record['lr']:.2e}  {record['seconds']:.1f} s"
    )
