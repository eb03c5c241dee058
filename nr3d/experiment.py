"""A configuration made real: its data, its model and its engine, and running them."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from yacs.config import CfgNode

from nr3d import parallel
from nr3d.config import load_config
from nr3d.data import ClipDataManager, Tracklet
from nr3d.engine import (
    LAST,
    PRECISIONS,
    StepOptions,
    TestResult,
    VideoNot3DEngine,
    warmup_multi_step,
)
from nr3d.errors import ConfigError, Nr3dError
from nr3d.host import torchreid
from nr3d.losses import Not3DLoss
from nr3d.metrics import MAX_RANK
from nr3d.models import ARCHITECTURES, VideoReID
from nr3d.version import versions
from nr3d.weights import entry_of, load

logger = logging.getLogger(__name__)

LABEL_SMOOTHING = 0.1
"""The paper's, and torchreid's where ``loss.softmax.label_smooth`` is on."""


@contextlib.contextmanager
def _as_config_error() -> Iterator[None]:
    """Give what a builder says of a bad value as the configuration's error."""
    try:
        yield
    except (ValueError, KeyError, AssertionError) as error:
        if isinstance(error, Nr3dError):
            raise
        raise ConfigError(str(error.args[0]) if error.args else repr(error)) from error


def _check(cfg: CfgNode) -> None:
    """Refuse what would only fail after the training."""
    if not cfg.test.ranks or not all(1 <= r <= MAX_RANK for r in cfg.test.ranks):
        raise ConfigError(f"test.ranks is {cfg.test.ranks}, expected ranks from 1 to {MAX_RANK}")
    for key, value, choices in (
        ("loss.name", cfg.loss.name, ("not3d",)),
        ("test.dist_metric", cfg.test.dist_metric, ("euclidean", "cosine")),
        ("train.precision", cfg.train.precision, PRECISIONS),
        ("not3d.test_sample_method", cfg.not3d.test_sample_method, ("dense", "evenly")),
    ):
        if value not in choices:
            raise ConfigError(f"{key} is {value!r}, expected one of {', '.join(choices)}")
    for key, count in (
        ("train.max_epoch", cfg.train.max_epoch),
        ("test.batch_size", cfg.test.batch_size),
        ("test.visrank_topk", cfg.test.visrank_topk),
        ("data.height", cfg.data.height),
        ("data.width", cfg.data.width),
        ("train.accumulation_steps", cfg.train.accumulation_steps),
    ):
        if count < 1:
            raise ConfigError(f"{key} is {count}, expected at least 1")
    for key, count in (
        ("data.workers", cfg.data.workers),
        ("train.checkpoint_steps", cfg.train.checkpoint_steps),
    ):
        if count < 0:
            raise ConfigError(f"{key} is {count}, expected 0 or more")


def _keep_earlier_run(cfg: CfgNode) -> None:
    """Refuse to train over the checkpoints of a run that is not the one to go on with."""
    last = Path(cfg.data.save_dir) / LAST
    resumed = cfg.model.resume and Path(cfg.model.resume).resolve().parent == last.resolve().parent
    if last.exists() and not resumed:
        raise ConfigError(
            f"{cfg.data.save_dir} holds an earlier run: go on with it by model.resume {last}, or "
            "give this one another data.save_dir."
        )


@dataclass(frozen=True)
class Outcome:
    """What a run gave."""

    results: Mapping[str, TestResult]
    """Dataset name to its test."""
    best_rank1: float | None
    """The best rank-1 of the run's tests, 0..1; None if it did not train."""
    seconds: float
    bad_frames: Sequence[str]
    """Frames that could not be read and were left out."""
    save_dir: Path
    parameters: int
    model: str
    distances: Mapping[str, npt.NDArray[np.float32]]
    """Dataset name to the (Q, G) matrix that its gallery was ranked by."""
    tracklets: Mapping[str, tuple[Sequence[Tracklet], Sequence[Tracklet]]]
    """Dataset name to its query and gallery tracklets."""

    def summary(self) -> dict[str, Any]:
        """Give everything as plain values, for a machine."""
        return {
            "model": self.model,
            "parameters": self.parameters,
            "results": {
                name: {
                    **result.figures,
                    "query": result.query,
                    "valid_queries": result.valid_queries,
                    "gallery": result.gallery,
                    "frames": result.frames,
                    "clips": result.clips,
                    "extract_seconds": result.extract_seconds,
                    "rank_seconds": result.rank_seconds,
                }
                for name, result in self.results.items()
            },
            "best_rank1": self.best_rank1,
            "bad_frames": list(self.bad_frames),
            "seconds": self.seconds,
            "versions": versions(),
        }


def config_to_test(
    name_or_path: str | Path, weights: str | Path, changes: Sequence[str] = ()
) -> CfgNode:
    """Load a configuration to test weights with, and what belongs to the weights with it.

    Their network, input size, frames of a clip, normalisation and distance, where they are known,
    go before the configuration's, and ``changes`` before both.

    Args:
        name_or_path: as for :func:`nr3d.config.load_config`.
        weights: a name in the weights index, or a file.
        changes: keys and values in turn.

    Raises:
        ConfigError: as for :func:`nr3d.config.load_config`.
        WeightsError: if the file is missing or cannot be read.
    """
    entry = entry_of(weights)
    facts = {} if entry is None else entry.changes()
    if facts:
        told = ", ".join(f"{key} {value}" for key, value in facts.items())
        logger.info("%s is tested with %s, unless KEY VALUE says otherwise", weights, told)
    words = [word for key, value in facts.items() for word in (key, str(value))]
    return load_config(name_or_path, [*words, "model.load_weights", str(weights), *changes])


def as_mapping(cfg: CfgNode) -> dict[str, Any]:
    """Give a configuration's sections and keys as plain values."""
    return {
        key: as_mapping(value) if isinstance(value, CfgNode) else value
        for key, value in cfg.items()
    }


def build_datamanager(cfg: CfgNode, *, training: bool = True) -> ClipDataManager:
    """Build the data that a configuration describes.

    Args:
        cfg: a whole configuration.
        training: False asks nothing of the training set, which is then not used.

    Raises:
        DataError: if a dataset or its files are not there or do not fit.
        ConfigError: for a value that is not usable.
    """
    with _as_config_error():
        datamanager = ClipDataManager(
            root=cfg.data.root,
            sources=cfg.data.sources if training else cfg.data.targets,
            targets=cfg.data.targets,
            height=cfg.data.height,
            width=cfg.data.width,
            transforms=cfg.data.transforms,
            norm_mean=cfg.data.norm_mean,
            norm_std=cfg.data.norm_std,
            use_gpu=cfg.use_gpu,
            split_id=cfg.data.split_id,
            combineall=cfg.data.combineall,
            batch_size_train=cfg.train.batch_size if training else 1,
            batch_size_test=cfg.test.batch_size,
            # More than there are processors only slows down; the batches are the same.
            workers=min(cfg.data.workers, os.cpu_count() or 1),
            num_instances=cfg.sampler.num_instances,
            num_cams=cfg.sampler.num_cams,
            num_datasets=cfg.sampler.num_datasets,
            train_sampler=cfg.sampler.train_sampler if training else "SequentialSampler",
            seq_len=cfg.video.seq_len,
            sample_method=cfg.video.sample_method,
            test_sample_method=cfg.not3d.test_sample_method,
            cache_frames=cfg.data.cache_frames,
            crop_padding=cfg.not3d.crop_padding,
            bad_frames=cfg.data.bad_frames,
            seed=cfg.train.seed,
        )
    # What the engine calls a source is what was trained on.
    datamanager.sources = list(cfg.data.sources)
    return datamanager


def build_model(
    cfg: CfgNode, num_classes: int, *, pretrained: bool | str, whole: bool = False
) -> VideoReID:
    """Build the model that a configuration describes.

    Args:
        cfg: a whole configuration.
        num_classes: K, identities to classify in training.
        pretrained: as for torchreid's ``build_model``.
        whole: refuse ``model.load_weights`` that leave more than the classifier as it starts.

    Raises:
        ConfigError: if it is not one of ours.
        WeightsError: if its weights cannot be had.
    """
    if cfg.model.name not in ARCHITECTURES:
        raise ConfigError(
            f"model.name is {cfg.model.name!r}, expected one of {', '.join(ARCHITECTURES)}"
        )
    with _as_config_error():
        model: VideoReID = torchreid.models.build_model(
            cfg.model.name,
            num_classes,
            loss="not3d",
            pretrained=pretrained,
            use_gpu=cfg.use_gpu,
            aggregation=None if cfg.not3d.aggregation == "default" else cfg.not3d.aggregation,
        )
    if cfg.model.load_weights:
        load(model, cfg.model.load_weights, whole=whole)
    return model


def build_engine(cfg: CfgNode, datamanager: ClipDataManager, model: VideoReID) -> VideoNot3DEngine:
    """Build the engine that a configuration describes, with its optimizers and schedule."""
    with _as_config_error():
        optimizer = torchreid.optim.build_optimizer(
            model,
            optim=cfg.train.optim,
            lr=cfg.train.lr,
            weight_decay=cfg.train.weight_decay,
            momentum=cfg.sgd.momentum,
            sgd_dampening=cfg.sgd.dampening,
            sgd_nesterov=cfg.sgd.nesterov,
            rmsprop_alpha=cfg.rmsprop.alpha,
            adam_beta1=cfg.adam.beta1,
            adam_beta2=cfg.adam.beta2,
            staged_lr=cfg.train.staged_lr,
            new_layers=cfg.train.new_layers,
            base_lr_mult=cfg.train.base_lr_mult,
        )
        if type(optimizer) is torch.optim.Adam:
            for group in optimizer.param_groups:
                group["fused"] = True  # one pass over the memory; torchreid has no switch for it
        criterion = Not3DLoss(
            model.classifier.out_features,
            model.feature_dim,
            label_smoothing=LABEL_SMOOTHING if cfg.loss.softmax.label_smooth else 0.0,
            margin=cfg.not3d.margin,
            alpha=cfg.not3d.alpha,
            temperature=cfg.not3d.temperature,
            negative_weight=cfg.not3d.negative_weight,
            center_reduction=cfg.not3d.center_reduction,
            id_weight=cfg.not3d.id_weight,
            ranked_list_weight=cfg.not3d.ranked_list_weight,
            center_weight=cfg.not3d.center_weight,
            erasing_attention_weight=cfg.not3d.erasing_attention_weight,
        )
        return VideoNot3DEngine(
            datamanager,
            model,
            optimizer,
            _build_scheduler(cfg, optimizer),
            use_gpu=cfg.use_gpu,
            criterion=criterion,
            center_lr=cfg.not3d.center_lr,
            pooling_method=cfg.video.pooling_method,
            options=StepOptions(
                precision=cfg.train.precision,
                channels_last=cfg.train.channels_last,
                compile=cfg.train.compile,
                accumulation_steps=cfg.train.accumulation_steps,
                checkpoint_steps=cfg.train.checkpoint_steps,
                gather_features=cfg.train.gather_features,
                sync_norms=cfg.train.sync_norms,
            ),
            config=as_mapping(cfg),
        )


def _build_scheduler(cfg: CfgNode, optimizer: torch.optim.Optimizer) -> Any:
    if cfg.train.lr_scheduler in ("", "none"):
        return None
    if cfg.train.lr_scheduler == "warmup_multi_step":
        return warmup_multi_step(
            optimizer,
            cfg.train.stepsize,
            cfg.train.gamma,
            cfg.not3d.warmup_epochs,
            cfg.not3d.warmup_factor,
        )
    return torchreid.optim.build_lr_scheduler(
        optimizer,
        lr_scheduler=cfg.train.lr_scheduler,
        stepsize=cfg.train.stepsize,
        gamma=cfg.train.gamma,
        max_epoch=cfg.train.max_epoch,
    )


def train(cfg: CfgNode) -> Outcome:
    """Train the model of a configuration and test it, in all processes that torchrun started.

    Args:
        cfg: a whole configuration, such as :func:`nr3d.config.load_config` gives.

    Returns:
        Outcome: the last test's results.

    Raises:
        Nr3dError: for anything that the user can mend; the message says how.
    """
    _check(cfg)
    with parallel.joined(cfg.use_gpu):
        return _train(cfg)


def _train(cfg: CfgNode) -> Outcome:
    started = time.perf_counter()
    _keep_earlier_run(cfg)
    torchreid.utils.set_random_seed(cfg.train.seed)
    datamanager = build_datamanager(cfg)
    # A run that goes on has its weights from the checkpoint.
    pretrained = False if cfg.model.resume else cfg.model.pretrained
    model = build_model(cfg, datamanager.num_train_pids, pretrained=pretrained)
    engine = build_engine(cfg, datamanager, model)
    start_epoch = engine.resume(cfg.model.resume) if cfg.model.resume else 0
    engine.run(
        save_dir=cfg.data.save_dir,
        max_epoch=cfg.train.max_epoch,
        start_epoch=start_epoch,
        print_freq=cfg.train.print_freq,
        fixbase_epoch=cfg.train.fixbase_epoch,
        open_layers=cfg.train.open_layers,
        start_eval=cfg.test.start_eval,
        eval_freq=cfg.test.eval_freq,
        dist_metric=cfg.test.dist_metric,
        normalize_feature=cfg.test.normalize_feature,
        ranks=cfg.test.ranks,
    )
    return _outcome(cfg, engine, started)


def evaluate(cfg: CfgNode) -> Outcome:
    """Test the weights ``model.load_weights`` of a configuration; none tests an untrained network.

    Raises:
        Nr3dError: for anything that the user can mend; the message says how.
    """
    _check(cfg)
    with parallel.joined(cfg.use_gpu):
        return _evaluate(cfg)


def _evaluate(cfg: CfgNode) -> Outcome:
    started = time.perf_counter()
    torchreid.utils.set_random_seed(cfg.train.seed)
    datamanager = build_datamanager(cfg, training=False)
    model = build_model(cfg, datamanager.num_train_pids, pretrained=False, whole=True)
    engine = build_engine(cfg, datamanager, model)
    engine.run(
        save_dir=cfg.data.save_dir,
        test_only=True,
        dist_metric=cfg.test.dist_metric,
        normalize_feature=cfg.test.normalize_feature,
        visrank=cfg.test.visrank,
        visrank_topk=cfg.test.visrank_topk,
        ranks=cfg.test.ranks,
        rerank=cfg.test.rerank,
    )
    return _outcome(cfg, engine, started)


def _outcome(cfg: CfgNode, engine: VideoNot3DEngine, started: float) -> Outcome:
    return Outcome(
        results=engine.results,
        best_rank1=engine.best_rank1,
        seconds=time.perf_counter() - started,
        bad_frames=sorted(engine.datamanager.bad_frames),
        save_dir=Path(cfg.data.save_dir),
        parameters=sum(parameter.numel() for parameter in engine.model.parameters()),
        model=cfg.model.name,
        distances=engine.distances,
        tracklets={name: engine.datamanager.fetch_test_loaders(name) for name in engine.results},
    )
