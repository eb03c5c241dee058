"""The engine: training and testing on whole clips by torchreid's contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn
from torch.optim import Optimizer

from nr3d import parallel
from nr3d.data import ClipDataManager
from nr3d.engine.attention import health_in_sums
from nr3d.engine.checkpoints import Checkpoints
from nr3d.engine.facts import facts_of, facts_of_tests
from nr3d.engine.journal import Journal
from nr3d.engine.judging import draw_judgement, judge_dataset
from nr3d.engine.loop import RunArguments, run_epochs, train_epoch
from nr3d.engine.results import TestResult, kind_of_test
from nr3d.engine.state import Progress, RunParts
from nr3d.engine.step import StepOptions, TrainingStep, explained_step
from nr3d.engine.testing import TestOptions, check_test
from nr3d.errors import Nr3dError
from nr3d.features.extraction import POOLINGS
from nr3d.features.inference import Inference
from nr3d.features.precision import Precision
from nr3d.features.resources import require_compiler
from nr3d.host import torchreid
from nr3d.losses import Criterion, Not3DLoss
from nr3d.models import AttentionHealth, channels_innermost, synchronise_norms
from nr3d.models.aggregations.attention_health import state_of


class VideoNot3DEngine(torchreid.engine.Engine):  # type: ignore[misc]
    """Train and test a video model on whole clips, by default with the losses of Not 3D Re-ID.

    The loss is a :class:`nr3d.losses.Criterion`: :class:`nr3d.losses.Not3DLoss` unless another one
    is given. A tracklet's feature is the mean over its clips. :meth:`run` and :meth:`test` have
    torchreid's arguments and meaning; in addition, ``model-last.pth.tar`` is written after every
    epoch and ``model-best.pth.tar`` when rank-1 is the best so far, and ``metrics.jsonl`` gets a
    line per epoch and per test.

    In processes that torchrun started and :func:`nr3d.parallel.joined` joined, each trains on its
    share of every batch, with the gradients averaged, and the first alone writes and reports.

    Reference:
        Alsehaim and Breckon. Not 3D Re-ID: Simple Single Stream 2D Convolution for Robust Video
        Re-identification. ICPR 2020. arXiv:2008.06318.

    Args:
        datamanager: training and test data; a stock ``VideoDataManager`` works too, and its frames
            count as not erased.
        model: network, built with the ``loss`` that the criterion needs: ``loss='not3d'`` for
            the default one.
        optimizer: optimizer of the model's parameters.
        scheduler: learning-rate scheduler, stepped once an epoch; None keeps the learning rate.
        use_gpu: whether to train on the GPU, if there is one.
        criterion (Criterion, optional): training loss. Default is the paper's
            :class:`nr3d.losses.Not3DLoss`, for the data's identities.
        center_lr: learning rate of the criterion's own parameters, such as the centers of
            ``Not3DLoss``. Paper: 0.5.
        pooling_method: pooling of the clips' features into the tracklet's feature: ``'avg'``
            (paper) or ``'max'``.
        options: options of the training step.
        test_options: options of the tests.
        config: configuration of the run, by section and key, kept in its checkpoints.

    Attributes:
        attention: health of the model's attention in the last epoch trained; None before it, and
            for an aggregation that does not attend.
        results: :class:`TestResult` of the last test, by dataset name.
        by_protocol: results by every protocol of the last test, by dataset name.
        distances: (Q, G) distances that the last test ranked by, by dataset name, unless they
            exceed the memory that a test may take.

    Raises:
        ValueError: if the model was built for another loss, or the pooling is unknown.
        Nr3dError: if several processes train and each of them would take the whole data.

    Examples:
        >>> import nr3d
        >>> from nr3d.synthetic import write_mars
        >>> summary = write_mars("data", identities=8)
        >>> datamanager = nr3d.data.ClipDataManager(
        ...     "data", "mars", height=64, width=32, batch_size_train=8, workers=0
        ... )
        >>> identities = datamanager.num_train_pids
        >>> model = torchreid.models.build_model(
        ...     "nr3d_resnet18_ibn", identities, loss="not3d", pretrained=False
        ... )
        >>> optimizer = torchreid.optim.build_optimizer(model, optim="adam", lr=3.5e-4)
        >>> scheduler = nr3d.engine.warmup_multi_step(optimizer)
        >>> engine = VideoNot3DEngine(datamanager, model, optimizer, scheduler)
        >>> engine.run(save_dir="log/mars", max_epoch=200, eval_freq=10)  # doctest: +SKIP
    """

    def __init__(
        self,
        datamanager: Any,
        model: nn.Module,
        optimizer: Optimizer,
        scheduler: Any | None = None,
        use_gpu: bool = True,
        criterion: Criterion | None = None,
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
        wanted = Not3DLoss.model_loss if criterion is None else criterion.model_loss
        if getattr(network, "loss", None) != wanted:
            raise ValueError(
                f"the model was built with loss={getattr(network, 'loss', None)!r}, expected "
                f"{wanted!r}: build_model(..., loss={wanted!r})"
            )
        self.world = parallel.world()
        if self.world.size > 1 and not isinstance(datamanager, ClipDataManager):
            raise Nr3dError(
                f"{type(datamanager).__name__} gives each of the {self.world.size} processes the "
                "whole data: train with nr3d.data.ClipDataManager, or in one process."
            )
        self.options = options or StepOptions()
        self.test_options = test_options or TestOptions()
        self.device = parallel.own_device(use_gpu)
        self.precision = Precision(self.options.precision, self.device)
        if criterion is None:
            feature_dim: Any = network.feature_dim
            criterion = Not3DLoss(datamanager.num_train_pids, int(feature_dim))
        self.criterion = criterion.to(self.device)
        self.model = model.to(self.device)
        self._prepare_model(network)
        self.optimizer = optimizer
        self.scheduler = scheduler
        loss_optimizers = self.criterion.optimizers(center_lr)
        self.step = TrainingStep(
            self.model,
            self.criterion,
            optimizer,
            list(loss_optimizers.values()),
            self.precision,
            self.options,
        )
        parts = RunParts(
            self.model,
            optimizer,
            scheduler,
            self.precision,
            loss=self.criterion.name or type(self.criterion).__name__,
            loss_modules=self.criterion.states(),
            loss_optimizers=loss_optimizers,
        )
        self.checkpoints = Checkpoints(parts, self._facts)
        self.journal = Journal(self.world.first)
        self.progress = Progress()
        self.attention: AttentionHealth | None = None
        self.register_model("model", self.model, optimizer, scheduler)
        self.register_model("criterion", self.criterion, None, None)
        self.results: dict[str, TestResult] = {}
        self.by_protocol: dict[str, Mapping[str, TestResult]] = {}
        self.distances: dict[str, npt.NDArray[np.float32]] = {}
        self.config = config
        self.num_batches = len(self.train_loader)
        self._dist_metric: str | None = None

    def _prepare_model(self, network: Any) -> None:
        """Set the network's memory layout, synchronise its norms and compile it, by the options."""
        if self.options.channels_last:
            channels_innermost(self.model)
        if self.options.sync_norms and self.world.size > 1:
            synchronise_norms(self.model)
        if self.test_options.inference.compile:
            require_compiler(self.device, "test.compile")
        if self.options.compile:
            require_compiler(self.device, "train.compile")
            network.backbone.compile()

    @property
    def best_rank1(self) -> float | None:
        """Best rank-1 of the run's tests, 0..1; None before the first."""
        return self.progress.best_rank1

    def bad_frames(self) -> list[str]:
        """Return the frames that any process has left out so far; all processes must call this."""
        own = sorted(getattr(self.datamanager, "bad_frames", ()))  # a stock manager has none
        return sorted({path for share in parallel.of_all(own) for path in share})

    def inference(self) -> Inference:
        """Return the network in its present state, ready to extract features."""
        network: Any = self.model.module if isinstance(self.model, nn.DataParallel) else self.model
        return Inference(network, self.device, self.test_options.inference)

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
        """Train and test as torchreid's ``Engine.run`` does, with its arguments and their meaning.

        ``print_freq`` of 0 prints one line per epoch. ``rerank`` only matters with ``test_only``.

        Raises:
            ValueError: if ``visrank`` is given without ``test_only``, or an argument of the test is
                invalid.
            Nr3dError: if the loss is no longer finite, or the data cannot be used.
            Interrupted: if :func:`nr3d.processes.stopping.request` asked the run to stop, or an
                interrupt ended one of its tests; the last checkpoint has then been written.
        """
        if visrank and not test_only:
            raise ValueError("visrank can be set to True only if test_only=True")
        check_test(self.test_options, dist_metric, ranks, visrank_topk, use_metric_cuhk03)
        test: dict[str, Any] = {
            "dist_metric": dist_metric,
            "normalize_feature": normalize_feature,
            "visrank": visrank,
            "visrank_topk": visrank_topk,
            "save_dir": save_dir,
            "use_metric_cuhk03": use_metric_cuhk03,
            "ranks": ranks,
        }
        if test_only:
            self.test(**test, rerank=rerank)
            return
        run = RunArguments(
            save_dir=save_dir,
            start_epoch=start_epoch,
            max_epoch=max_epoch,
            print_freq=print_freq,
            fixbase_epoch=fixbase_epoch,
            open_layers=open_layers,
            start_eval=start_eval,
            eval_freq=eval_freq,
            test=test,
        )
        run_epochs(self, run)

    def train(
        self,
        print_freq: int = 10,
        fixbase_epoch: int = 0,
        open_layers: str | list[str] | None = None,
        save_dir: str = "",
    ) -> dict[str, float]:
        """Train one epoch and step the schedule.

        Returns:
            dict: mean of each loss term over the epoch, by name.
        """
        self.set_model_mode("train")
        self.two_stepped_transfer_learning(self.epoch, fixbase_epoch, open_layers)
        means = train_epoch(self, print_freq, save_dir)
        self.update_lr()
        self.attention = health_in_sums(self.progress.sums)
        state = state_of([self.attention])
        self.progress = replace(self.progress.at_epoch(self.epoch + 1), attention=state)
        return means

    def forward_backward(self, data: dict[str, Any]) -> dict[str, float]:
        """Take one step, or a part of one when gradients are accumulated.

        Args:
            data: training batch.

        Returns:
            dict: total loss, each unweighted loss term, and accuracy in percent, within an epoch
            also the figures of the attention; with several processes, those of their joint batch.

        Raises:
            Nr3dError: if the loss is not finite, the batch is a single clip, or there is too little
                memory for it.
        """
        clips = len(data["img"])
        if clips == 1 and not (self.options.sync_norms and self.world.size > 1):
            raise Nr3dError(
                "A batch has a single clip, of which the neck cannot take mean and variance: set "
                "train.batch_size (batch_size_train) to two clips or more for each process."
            )
        with explained_step():
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
        """Test on every target dataset, with torchreid's arguments and their meaning.

        ``visrank`` draws the rankings of all queries as pictures into
        ``save_dir/visrank_<dataset>``.

        Returns:
            float: rank-1 of the last target dataset, 0..1.

        Raises:
            DataError: if a frame or a dataset cannot be used.
            ValueError: if a rank is outside 1..50 or the metric is unknown.
        """
        ranks = check_test(self.test_options, dist_metric, ranks, visrank_topk, use_metric_cuhk03)
        self.set_model_mode("eval")
        parallel.copy_from_first(list(self.model.buffers()))
        self._dist_metric = dist_metric
        inference = self.inference()
        rank1 = 0.0
        for name, loaders in self.test_loader.items():
            domain = "source" if name in self.datamanager.sources else "target"
            self.journal.say(f"##### Evaluating {name} ({domain}) #####")
            found = judge_dataset(
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
                kind=kind_of_test(self.datamanager, name),
            )
            result = self.results[name] = found.result
            self.by_protocol[name] = found.results
            bad = len(self.bad_frames())
            if self.world.first:
                self.distances.pop(name, None)
                if found.distances is not None:
                    self.distances[name] = found.distances
                for each in found.results.values():
                    self.journal.test(each, ranks, save_dir, epoch=self.epoch, bad_frames=bad)
                if visrank:
                    query, gallery = self.datamanager.fetch_test_loaders(name)
                    folder = Path(save_dir)
                    pages = draw_judgement(found, query, gallery, folder, topk=visrank_topk)
                    self.journal.say(f"Rankings drawn: {pages[0]} to {pages[-1].name}")
            rank1 = result.rank1
        return rank1

    def save_model(
        self, epoch: int, rank1: float | None, save_dir: str, is_best: bool = False
    ) -> None:
        """Write the run's last checkpoint, and also as the best if it is.

        Args:
            epoch: epoch that has just ended, from 0.
            rank1: rank-1 of the test after it, 0..1; None without a test.
            save_dir: the run's folder.
            is_best: whether to write the best checkpoint whatever rank-1 is.
        """
        is_best = self.progress.end_epoch(epoch, rank1) or is_best
        self.checkpoints.write_tested(self.progress, rank1, save_dir, is_best=is_best)

    def resume(self, path: str | Path) -> int:
        """Restore the run from a checkpoint.

        Args:
            path: ``model-last.pth.tar`` or ``model-best.pth.tar``.

        Returns:
            int: number of finished epochs, the ``start_epoch`` for :meth:`run`.

        Raises:
            WeightsError: if the file cannot be read, is no training checkpoint, or is another
                network's.
        """
        self.progress = self.checkpoints.restore(path)
        return self.progress.epoch

    def _facts(self, tested: bool) -> dict[str, Any]:
        """Return the facts about the weights, with figures if their present state was tested."""
        healths = [result.attention for result in self.results.values()] if tested else []
        within = health_in_sums(self.progress.sums)
        return {
            **facts_of(self.model, self.datamanager),
            **facts_of_tests(
                self.results if tested else {},
                protocol=self.test_options.protocol,
                dist_metric=self._dist_metric,
            ),
            # As last tested, or else as last trained.
            "attention": state_of(healths) or state_of([within]) or self.progress.attention,
            "config": None if self.config is None else dict(self.config),
        }
