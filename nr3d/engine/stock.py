"""torchreid's own video engines, unchanged, with the records and checkpoints of nr3d's runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nr3d import parallel
from nr3d.data import Tracklet
from nr3d.engine.checkpoints import Checkpoints
from nr3d.engine.facts import facts_of, facts_of_tests
from nr3d.engine.journal import Journal
from nr3d.engine.judging import judge
from nr3d.engine.results import TestResult, kind_of_test
from nr3d.engine.state import Progress, RunParts
from nr3d.engine.testing import TestOptions
from nr3d.errors import DataError, WeightsError, reason_of
from nr3d.features.extraction import TrackletFeatures, name_of
from nr3d.features.precision import Precision
from nr3d.host import torchreid
from nr3d.metrics import Labels
from nr3d.metrics.host_evaluation import entries_left
from nr3d.processes import stopping


class _StockRun(torchreid.engine.Engine):  # type: ignore[misc]
    """Records and checkpoints of a stock engine, whose training and testing are torchreid's.

    On top of torchreid's engine, a run appends to ``metrics.jsonl``, keeps its results, and writes
    ``model-last.pth.tar`` and ``model-best.pth.tar`` instead of ``model/model.pth.tar-<epoch>``,
    with plain numbers that ``torch.load`` accepts and with a scheduler or without. As in torchreid,
    a checkpoint is written after each test.

    Args:
        datamanager: torchreid's ``VideoDataManager``.
        model: network, built with the ``loss`` of the engine.
        optimizer: optimizer of the model's parameters.
        loss: value of ``loss.name``.
        scheduler: learning-rate scheduler, stepped once an epoch; None keeps the learning rate.
        use_gpu: whether to train on the GPU, if there is one.
        facts: plain values that describe the weights and cannot be found in the data.
        config: configuration of the run, by section and key, kept in its checkpoints.
        options: further arguments of torchreid's engine.

    Attributes:
        results: :class:`TestResult` of the last test by torchreid's evaluator, by dataset name.
        by_protocol: the same results by their protocol, by dataset name.
        distances: (Q, G) distances of the last test, by dataset name.
    """

    def __init__(
        self,
        datamanager: Any,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        loss: str,
        scheduler: Any | None = None,
        use_gpu: bool = True,
        facts: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.device = parallel.own_device(use_gpu)
        model.to(self.device)
        arguments: dict[str, Any] = {"scheduler": scheduler, "use_gpu": use_gpu, **options}
        super().__init__(datamanager, model, optimizer, **arguments)
        precision = Precision("float32", self.device)
        parts = RunParts(model, optimizer, scheduler, precision, loss)
        self.checkpoints = Checkpoints(parts, self._facts)
        self.journal = Journal(first=True)
        self.progress = Progress()
        self.results: dict[str, TestResult] = {}
        self.by_protocol: dict[str, Mapping[str, TestResult]] = {}
        self.distances: dict[str, npt.NDArray[np.float32]] = {}
        self.config = config
        self._known = dict(facts or {})
        self._meter: Any = None
        self._save_dir = ""
        self._extracted: list[tuple[Tensor, int]] = []
        self._dist_metric: str | None = None

    @property
    def best_rank1(self) -> float | None:
        """Best rank-1 of the run's tests, 0..1; None before the first."""
        return self.progress.best_rank1

    def bad_frames(self) -> list[str]:
        """Return the frames that were left out; with torchreid there are none."""
        return []

    def run(
        self,
        save_dir: str = "log",
        max_epoch: int = 0,
        start_epoch: int = 0,
        print_freq: int = 10,
        test_only: bool = False,
        **options: Any,
    ) -> None:
        """Train and test with torchreid's ``Engine.run``, with its arguments and their meaning.

        ``print_freq`` of 0 prints one line per epoch. A run that is asked to stop stops where it
        is.
        """
        self.progress = self.progress.taken_up(start_epoch)
        if not test_only:
            self._save_dir, self.epoch = save_dir, max(0, start_epoch - 1)
            begun = start_epoch * len(self.datamanager.train_loader)
            # Replaces torchreid's writer, whose thread dies when the disk is full.
            self.writer = self.journal.open(
                save_dir, epoch=start_epoch, untested=False, first_step=begun or None
            )
        try:
            with stopping.at_once():
                super().run(
                    save_dir=save_dir,
                    max_epoch=max_epoch,
                    start_epoch=start_epoch,
                    print_freq=print_freq or sys.maxsize,
                    test_only=test_only,
                    **options,
                )
        finally:
            self.journal.close()
            self.writer = None

    def train(self, **options: Any) -> None:
        """Train one epoch with torchreid's ``Engine.train``, and record it."""
        started, lr = time.perf_counter(), self.get_current_lr()
        self._meter = torchreid.utils.MetricMeter()
        super().train(**options)
        means = {name: value.avg for name, value in self._meter.meters.items()}
        record = {"kind": "epoch", "epoch": self.epoch + 1, "lr": lr, **means, "bad_frames": 0}
        record["seconds"] = round(time.perf_counter() - started, 3)
        self.journal.epoch(record, self.max_epoch, self._save_dir)

    def forward_backward(self, data: dict[str, Any]) -> dict[str, float]:
        """Take one step with torchreid's ``Engine.forward_backward``."""
        summary: dict[str, float] = super().forward_backward(data)
        if self._meter is not None:
            self._meter.update(summary)
        return summary

    def extract_features(self, input: Tensor) -> Tensor:
        """Extract features (B, D) of clips (B, T, 3, H, W) as torchreid does, and keep them."""
        features: Tensor = super().extract_features(input)
        self._extracted.append((features.detach().float().cpu(), input.shape[1]))
        return features

    def test(
        self, ranks: Sequence[int] = (1, 5, 10, 20), save_dir: str = "", **options: Any
    ) -> float:
        """Test on every target dataset with torchreid's ``Engine.test``, and keep the results.

        Ranks beyond the number of gallery tracklets that are left for a query are not printed.

        Returns:
            float: rank-1 of the last target dataset, 0..1.

        Raises:
            DataError: if torchreid's evaluator cannot judge a dataset.
        """
        started = time.perf_counter()
        self._extracted.clear()
        left = min(self._entries_left(name) for name in self.test_loader)
        printed = [rank for rank in ranks if rank <= left]
        try:
            rank1 = float(super().test(ranks=printed, save_dir=save_dir, **options))
        except (AssertionError, ValueError, IndexError) as error:
            raise DataError(
                f"torchreid's evaluator cannot judge {', '.join(self.test_loader)} "
                f"({reason_of(error)}): it needs a query with a match, and where fewer than 50 "
                "gallery tracklets are left for a query, as many for every other. Set engine nr3d, "
                "or test on a larger gallery."
            ) from error
        seconds = time.perf_counter() - started
        self._dist_metric = options.get("dist_metric", "euclidean")
        rank_options = {
            name: options[name]
            for name in ("dist_metric", "normalize_feature", "rerank", "use_metric_cuhk03")
            if name in options
        }
        for name in self.test_loader:
            judgement = judge(
                name,
                self._features(name, "query"),
                self._features(name, "gallery"),
                ranks=ranks,
                options=TestOptions(evaluator="torchreid"),
                extract_seconds=seconds,  # includes torchreid's own ranking of all datasets
                kind=kind_of_test(self.datamanager, name),
                **rank_options,
            )
            self.results[name], self.by_protocol[name] = judgement.result, judgement.results
            if judgement.distances is not None:
                self.distances[name] = judgement.distances
            self.journal.record_test(judgement.result, save_dir, epoch=self.epoch)
        return rank1

    def save_model(self, epoch: int, rank1: float, save_dir: str, is_best: bool = False) -> None:
        """Write the run's last checkpoint, and also as the best if it is.

        Args:
            epoch: epoch that has just ended, from 0.
            rank1: rank-1 of the test after it, 0..1.
            save_dir: the run's folder.
            is_best: whether to write the best checkpoint whatever rank-1 is.
        """
        rank1 = float(rank1)
        is_best = self.progress.end_epoch(epoch, rank1) or is_best
        self.checkpoints.write_tested(self.progress, rank1, save_dir, is_best=is_best)

    def resume(self, path: str | Path) -> int:
        """Restore the run from a checkpoint.

        Args:
            path: ``model-last.pth.tar`` or ``model-best.pth.tar``.

        Returns:
            int: number of finished epochs, the ``start_epoch`` for :meth:`run`.

        Raises:
            WeightsError: if the file cannot be read, is not from such a run, or was written within
                an epoch.
        """
        progress = self.checkpoints.restore(path)
        if progress.step:
            raise WeightsError(
                f"{path} stands at batch {progress.step} of an epoch, which torchreid's engines "
                "cannot start from: set engine nr3d, as it was."
            )
        self.progress = progress
        return progress.epoch

    def _tracklets(self, dataset: str, part: str) -> Sequence[Tracklet]:
        tracklets: Sequence[Tracklet] = self.datamanager.test_dataset[dataset][part]
        return tracklets

    def _labels(self, dataset: str, part: str) -> Labels:
        tracklets = self._tracklets(dataset, part)
        return Labels.of([t[1] for t in tracklets], [t[2] for t in tracklets])

    def _entries_left(self, dataset: str) -> int:
        """Return how many gallery tracklets are left for the query that has the fewest."""
        query, gallery = (self._labels(dataset, part) for part in ("query", "gallery"))
        return int(entries_left(query, gallery)[1].min())

    def _features(self, dataset: str, part: str) -> TrackletFeatures:
        """Return a set's features from those that torchreid's test extracted, in its order."""
        labels = self._labels(dataset, part)
        batches, count = [], 0
        while count < len(labels):
            features, frames = self._extracted.pop(0)
            batches.append(features)
            count += len(features)
        return TrackletFeatures(
            torch.cat(batches),
            labels,
            clips=np.ones(count, np.int64),
            frames=np.full(count, frames, np.int64),
            names=[name_of(tracklet) for tracklet in self._tracklets(dataset, part)],
        )

    def _facts(self, tested: bool) -> dict[str, Any]:
        """Return the facts about the weights, with figures if their present state was tested."""
        return {
            **facts_of(self.model, self.datamanager),
            **self._known,
            **facts_of_tests(
                self.results if tested else {}, protocol="torchreid", dist_metric=self._dist_metric
            ),
            "config": None if self.config is None else dict(self.config),
        }


class StockSoftmaxEngine(_StockRun, torchreid.engine.VideoSoftmaxEngine):  # type: ignore[misc]
    """``torchreid.engine.VideoSoftmaxEngine``, with the records and checkpoints of nr3d's runs."""


class StockTripletEngine(_StockRun, torchreid.engine.VideoTripletEngine):  # type: ignore[misc]
    """``torchreid.engine.VideoTripletEngine``, with the records and checkpoints of nr3d's runs."""


STOCK_ENGINES: dict[str, type[StockSoftmaxEngine] | type[StockTripletEngine]] = {
    "softmax": StockSoftmaxEngine,
    "triplet": StockTripletEngine,
}
"""torchreid's engines, by the name of their loss."""
