"""The engine: torchreid's training and testing, with clips whole and the method's losses."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from nr3d.engine.records import append_record
from nr3d.engine.state import BEST, LAST, facts_of, restore_run, run_state
from nr3d.errors import Nr3dError
from nr3d.host import torchreid
from nr3d.losses import Not3DLoss
from nr3d.metrics import MAX_RANK, Labels, rank
from nr3d.report import write_rankings
from nr3d.weights import write_checkpoint

CLIPS_AT_ONCE = 32
"""Test clips that go through the network together, whatever the length of their tracklets."""


@dataclass(frozen=True)
class TrackletFeatures:
    """One feature per tracklet of a query or gallery set."""

    features: Tensor
    """(N, D), pooled over the tracklet's clips."""
    labels: Labels
    clips: int
    frames: int


@dataclass(frozen=True)
class TestResult:
    """What a test found on one dataset."""

    __test__ = False  # not a pytest class

    dataset: str
    mAP: float
    """0..1"""
    ranks: dict[int, float]
    """Rank to the share of queries with a true match up to it, 0..1."""
    query: int
    valid_queries: int
    gallery: int
    frames: int
    clips: int
    extract_seconds: float
    rank_seconds: float

    @property
    def rank1(self) -> float:
        """Rank-1, 0..1."""
        return self.ranks[1]

    @property
    def figures(self) -> dict[str, float]:
        """``rank-1`` and the others asked for, and ``mAP``, as shares."""
        return {**{f"rank-{r}": share for r, share in self.ranks.items()}, "mAP": self.mAP}


class VideoNot3DEngine(torchreid.engine.Engine):  # type: ignore[misc]
    """Train and test a video model with the losses of Not 3D Re-ID.

    Clips go in whole. The loss is :class:`nr3d.losses.Not3DLoss`; its centers are learnt by an SGD
    of their own, whose gradient does not carry the center loss's weight. A tracklet's feature is
    the mean over its clips. :meth:`run` and :meth:`test` have torchreid's arguments and meaning;
    on top of it, ``model-last.pth.tar`` is written after every epoch and ``model-best.pth.tar``
    when rank-1 is the best so far, and ``metrics.jsonl`` gets a line per epoch and per test.

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
        config: sections and keys that the run was made from, kept in its checkpoints.

    Attributes:
        results: dataset name to the :class:`TestResult` of the last test.
        distances: dataset name to the (Q, G) distances that the last test ranked by.
        best_rank1: of all tests of the run, 0..1.

    Raises:
        ValueError: if the model was built for another loss, or for another pooling.

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
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(datamanager, use_gpu)
        if pooling_method not in ("avg", "max"):
            raise ValueError(f"pooling_method is {pooling_method!r}, expected 'avg' or 'max'")
        self.pooling_method = pooling_method
        network = model.module if isinstance(model, nn.DataParallel) else model
        if getattr(network, "loss", None) != "not3d":
            raise ValueError(
                f"the model was built with loss={getattr(network, 'loss', None)!r}, expected "
                "'not3d': build_model(..., loss='not3d')"
            )
        self.device = torch.device("cuda" if self.use_gpu else "cpu")
        if criterion is None:
            feature_dim: Any = network.feature_dim
            criterion = Not3DLoss(datamanager.num_train_pids, int(feature_dim))
        self.criterion = criterion.to(self.device)
        self.model = model.to(self.device)
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.center_optimizer = SGD(self.criterion.center.parameters(), lr=center_lr)
        self.register_model("model", self.model, optimizer, scheduler)
        self.register_model("center", self.criterion.center, self.center_optimizer, None)
        self.results: dict[str, TestResult] = {}
        self.distances: dict[str, npt.NDArray[np.float32]] = {}
        self.best_rank1: float | None = None
        self.config = config
        self._dist_metric: str | None = None

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
        """
        if visrank and not test_only:
            raise ValueError("visrank can be set to True only if test_only=True")
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
        writer: Any = SummaryWriter(log_dir=save_dir)
        self.writer = writer
        try:
            _say("=> Start training")
            for self.epoch in range(start_epoch, max_epoch):
                epoch_started = time.perf_counter()
                lr = self.get_current_lr()
                losses = self.train(print_freq, fixbase_epoch, open_layers)
                done = self.epoch + 1
                record = {"epoch": done, "lr": lr, **losses}
                record["seconds"] = round(time.perf_counter() - epoch_started, 3)
                append_record(save_dir, {"kind": "epoch", **record})
                _say(_epoch_line(record, max_epoch))
                due = eval_freq > 0 and done >= start_eval and done % eval_freq == 0
                rank1 = None
                if due or done == max_epoch:
                    if done == max_epoch:
                        _say("=> Final test")
                    rank1 = self.test(**test_options)
                self.save_model(self.epoch, rank1, save_dir)
            if start_epoch >= max_epoch > 0:
                _say(f"=> Nothing left to train: {start_epoch} of {max_epoch} epochs are done")
                self.test(**test_options)
            elapsed = datetime.timedelta(seconds=round(time.perf_counter() - started))
            _say(f"Elapsed {elapsed}")
        finally:
            writer.close()
            self.writer = None

    def train(
        self,
        print_freq: int = 10,
        fixbase_epoch: int = 0,
        open_layers: str | list[str] | None = None,
    ) -> dict[str, float]:
        """Train one epoch and step the schedule; gives each loss term's mean over the epoch."""
        self.set_model_mode("train")
        self.two_stepped_transfer_learning(self.epoch, fixbase_epoch, open_layers)
        if hasattr(self.train_loader, "set_epoch"):
            self.train_loader.set_epoch(self.epoch)
        self.num_batches = len(self.train_loader)
        if self.num_batches == 0:
            raise Nr3dError(
                "The training set gives no whole batch: set train.batch_size to fewer clips."
            )
        meter = torchreid.utils.MetricMeter()
        with tqdm(
            total=self.num_batches,
            desc=f"Epoch {self.epoch + 1}/{self.max_epoch}",
            unit="batch",
            leave=False,
            disable=None,
        ) as bar:
            for self.batch_idx, data in enumerate(self.train_loader):
                summary = self.forward_backward(data)
                meter.update(summary)
                bar.set_postfix(loss=f"{summary['loss']:.3f}", refresh=False)
                bar.update()
                if print_freq > 0 and (self.batch_idx + 1) % print_freq == 0:
                    _say(
                        f"epoch: [{self.epoch + 1}/{self.max_epoch}]"
                        f"[{self.batch_idx + 1}/{self.num_batches}]\t{meter}\t"
                        f"lr {self.get_current_lr():.6f}"
                    )
                if self.writer is not None:
                    step = self.epoch * self.num_batches + self.batch_idx
                    for name, value in summary.items():
                        self.writer.add_scalar(f"Train/{name}", value, step)
        self.update_lr()
        return {name: value.avg for name, value in meter.meters.items()}

    def forward_backward(self, data: dict[str, Any]) -> dict[str, float]:
        """Take one step; gives the total, each unweighted loss term and the accuracy in percent."""
        clips, pids = self.parse_data_for_train(data)
        clips, pids = clips.to(self.device), pids.to(self.device)  # (B, T, 3, H, W), (B,)
        logits, features, scores = self.model(clips)
        erased = data.get("erased")
        erased = torch.zeros_like(scores) if erased is None else erased.to(self.device)  # (B, T)
        total, terms = self.criterion(logits, features, scores, pids, erased)
        summary = {"loss": total.item()}
        summary |= {f"loss_{name}": term.item() for name, term in terms.items()}
        if not torch.isfinite(total):
            raise Nr3dError(
                f"The loss is not finite at epoch {self.epoch + 1}, batch {self.batch_idx + 1} "
                f"({', '.join(f'{name} {value:g}' for name, value in summary.items())}): lower "
                "train.lr. The last checkpoint is as it was."
            )
        self.optimizer.zero_grad()
        self.center_optimizer.zero_grad()
        total.backward()
        self.optimizer.step()
        if self.criterion.center_weight > 0:
            for parameter in self.criterion.center.parameters():
                if parameter.grad is not None:
                    parameter.grad /= self.criterion.center_weight
            self.center_optimizer.step()
        summary["acc"] = torchreid.metrics.accuracy(logits, pids)[0].item()
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
        ranks = list(ranks)
        if not ranks or min(ranks) < 1 or max(ranks) > MAX_RANK:
            raise ValueError(f"ranks are {ranks}, expected ranks from 1 to {MAX_RANK}")
        self.set_model_mode("eval")
        self._dist_metric = dist_metric
        rank1 = 0.0
        for name, loaders in self.test_loader.items():
            domain = "source" if name in self.datamanager.sources else "target"
            _say(f"##### Evaluating {name} ({domain}) #####")
            started = time.perf_counter()
            query = self._extract(loaders["query"], "query")
            gallery = self._extract(loaders["gallery"], "gallery")
            extracted = time.perf_counter()
            ranking = rank(
                query.features,
                gallery.features,
                query.labels,
                gallery.labels,
                dist_metric=dist_metric,
                normalize_feature=normalize_feature,
                rerank=rerank,
                use_metric_cuhk03=use_metric_cuhk03,
            )
            result = TestResult(
                dataset=name,
                mAP=ranking.mAP,
                ranks={r: float(ranking.cmc[r - 1]) for r in sorted({1, *ranks})},
                query=len(query.features),
                valid_queries=ranking.valid_queries,
                gallery=len(gallery.features),
                frames=query.frames + gallery.frames,
                clips=query.clips + gallery.clips,
                extract_seconds=extracted - started,
                rank_seconds=time.perf_counter() - extracted,
            )
            _say("** Results **")
            _say(f"mAP: {result.mAP:.1%}")
            _say("CMC curve")
            for r in ranks:
                _say(f"Rank-{r:<3}: {result.ranks[r]:.1%}")
            if visrank:
                pages = write_rankings(
                    ranking.distances,
                    self.datamanager.fetch_test_loaders(name)[0],
                    self.datamanager.fetch_test_loaders(name)[1],
                    Path(save_dir) / f"visrank_{name}",
                    topk=visrank_topk,
                    title=f"{name}: rank-1 {result.rank1:.1%}, mAP {result.mAP:.1%}",
                )
                _say(f"Rankings drawn: {pages[0]} to {pages[-1].name}")
            if self.writer is not None:
                self.writer.add_scalar(f"Test/{name}/rank1", result.rank1, self.epoch)
                self.writer.add_scalar(f"Test/{name}/mAP", result.mAP, self.epoch)
            if save_dir:
                append_record(save_dir, self._test_record(result))
            self.results[name] = result
            self.distances[name] = ranking.distances
            rank1 = result.rank1
        return rank1

    def extract_features(self, input: Tensor) -> Tensor:
        """Give the features (B, D) of clips (B, T, 3, H, W); the model is in eval mode."""
        features: Tensor = self.model(input)
        return features

    @torch.inference_mode()
    def _extract(self, loader: Any, part: str) -> TrackletFeatures:
        """Give the feature of every tracklet of a loader, pooled over its clips."""
        features: list[Tensor] = []
        pids: list[int] = []
        camids: list[int] = []
        clips = frames = 0
        with tqdm(
            total=len(loader.dataset), desc=f"Extracting {part}", unit="tracklet", disable=None
        ) as bar:
            bar.leave = False
            for data in loader:
                images, batch_pids, batch_camids = self.parse_data_for_eval(data)
                counts = data.get("num_clips", torch.ones(len(batch_pids), dtype=torch.long))
                of_clips = torch.cat(
                    [
                        self.extract_features(some.to(self.device)).float().cpu()
                        for some in torch.split(images, CLIPS_AT_ONCE)
                    ]
                )  # (Σn, D)
                for own in torch.split(of_clips, counts.tolist()):
                    pooled = own.mean(dim=0) if self.pooling_method == "avg" else own.amax(dim=0)
                    features.append(pooled)
                pids += batch_pids.tolist()
                camids += batch_camids.tolist()
                clips += len(images)
                default = counts * images.shape[1]
                frames += int(torch.as_tensor(data.get("num_frames", default)).sum())
                bar.update(len(batch_pids))
        matrix = torch.stack(features) if features else torch.empty(0, 0)
        return TrackletFeatures(matrix, Labels.of(pids, camids), clips, frames)

    def _test_record(self, result: TestResult) -> dict[str, Any]:
        return {
            "kind": "test",
            "epoch": self.epoch + 1 if self.writer is not None else None,
            "dataset": result.dataset,
            **result.figures,
            "seconds": round(result.extract_seconds + result.rank_seconds, 3),
        }

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
        if rank1 is not None and (self.best_rank1 is None or rank1 > self.best_rank1):
            self.best_rank1, is_best = rank1, True
        state = run_state(
            self.model,
            self.criterion.center,
            self.optimizer,
            self.center_optimizer,
            self.scheduler,
            epoch=epoch + 1,
            rank1=rank1,
            best_rank1=self.best_rank1,
            facts=self._facts(tested=rank1 is not None),
        )
        if is_best:
            write_checkpoint(state, Path(save_dir) / BEST)
        write_checkpoint(state, Path(save_dir) / LAST)

    def _facts(self, *, tested: bool) -> dict[str, Any]:
        """What belongs to the weights; the figures if they were tested as they are now."""
        results = self.results if tested else {}
        return {
            **facts_of(self.model, self.datamanager),
            "dist_metric": self._dist_metric,
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
        epoch, self.best_rank1 = restore_run(
            path,
            self.model,
            self.criterion.center,
            self.optimizer,
            self.center_optimizer,
            self.scheduler,
        )
        return epoch


def _say(line: str) -> None:
    """Report on standard output, as torchreid's engines do, without breaking a progress bar."""
    tqdm.write(line)
    sys.stdout.flush()  # also where it is a file that somebody follows


def _epoch_line(record: dict[str, Any], max_epoch: int) -> str:
    terms = "  ".join(f"{k} {v:.4g}" for k, v in record.items() if k.startswith("loss"))
    return (
        f"epoch {record['epoch']}/{max_epoch}  {terms}  acc {record['acc']:.1f}  "
        f"lr {record['lr']:.2e}  {record['seconds']:.1f} s"
    )
