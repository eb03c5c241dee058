"""Builders of what a configuration describes: its data, its model and its engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, TypeAlias

import torch
from torch import nn
from yacs.config import CfgNode

from nr3d.config import as_mapping, leaves
from nr3d.config.aggregation import LIVE_ATTENTION
from nr3d.data import ClipDataManager
from nr3d.engine import (
    StepOptions,
    StockSoftmaxEngine,
    StockTripletEngine,
    TestOptions,
    VideoNot3DEngine,
    scale_attention_lr,
    warmup_multi_step,
)
from nr3d.errors import ConfigError, Nr3dError, reason_of, shown
from nr3d.features import InferenceOptions
from nr3d.host import torchreid
from nr3d.losses import CRITERIA, Criterion
from nr3d.models import VideoReID, architecture_of
from nr3d.parallel import own_device, world
from nr3d.runs.configuration import aggregation_in
from nr3d.runs.stock import build_stock_datamanager, build_stock_engine, data_options
from nr3d.weights import load

AnyEngine: TypeAlias = VideoNot3DEngine | StockSoftmaxEngine | StockTripletEngine
"""Engines that the key ``engine`` chooses from."""


@contextlib.contextmanager
def _as_config_error() -> Iterator[None]:
    """Turn a builder's error about a bad value into an error about the configuration."""
    try:
        yield
    except (ValueError, KeyError, AssertionError) as error:
        if isinstance(error, Nr3dError):
            raise
        raise ConfigError(reason_of(error)) from error


def check_layers(cfg: CfgNode, model: nn.Module) -> None:
    """Refuse names of layers that a network does not have, where the configuration uses them.

    Args:
        cfg: a complete configuration.
        model: the network that it describes.

    Raises:
        ConfigError: if ``train.open_layers`` or ``train.new_layers`` is used and names another
            part; the message lists the parts that there are.
    """
    parts = [name for name, part in model.named_children() if any(True for _ in part.parameters())]
    for key, names, used in (
        ("train.open_layers", cfg.train.open_layers, cfg.train.fixbase_epoch > 0),
        ("train.new_layers", cfg.train.new_layers, cfg.train.staged_lr),
    ):
        if used and not (names and set(names) <= set(parts)):
            raise ConfigError(
                f"{key} is {shown(list(names))}, expected some of {', '.join(parts)}: the parts of "
                f"{cfg.model.name} that learn"
            )


def device_of(cfg: CfgNode) -> torch.device:
    """Return the device that a configuration computes on: this process's GPU, or the CPU."""
    return own_device(cfg.use_gpu)


def build_datamanager(cfg: CfgNode, *, training: bool = True) -> Any:
    """Build the data manager that a configuration describes.

    Args:
        cfg: a complete configuration.
        training: whether the data is trained on. If False, only the targets are loaded, and the
            training options are not checked.

    Raises:
        DataError: if a dataset or one of its files is missing or does not fit.
        ConfigError: if a value cannot be used.
    """
    if training and cfg.engine == "torchreid":
        with _as_config_error():
            return build_stock_datamanager(cfg)
    processes = world().size
    norms_see_all = cfg.train.sync_norms and processes > 1
    if training and cfg.train.batch_size // processes == 1 and not norms_see_all:
        each = "" if processes == 1 else f" for {processes} processes, a single clip for each"
        raise ConfigError(
            f"train.batch_size is {cfg.train.batch_size}{each}, expected at least "
            f"{2 * processes} clips: the neck takes mean and variance of a batch"
        )
    with _as_config_error():
        datamanager = ClipDataManager(
            **data_options(cfg),
            pack=cfg.data.pack,
            sources=cfg.data.sources if training else cfg.data.targets,
            batch_size_train=cfg.train.batch_size if training else processes,
            batch_size_test=cfg.test.batch_size,
            train_sampler=cfg.sampler.train_sampler if training else "SequentialSampler",
            sample_method=cfg.video.sample_method,
            test_sample_method=cfg.not3d.test_sample_method,
            cache_frames=cfg.data.cache_frames,
            max_test_clips=cfg.not3d.max_test_clips,
            epoch_over=cfg.not3d.epoch_over,
            augment_per=cfg.not3d.augment_per,
            crop_padding=cfg.not3d.crop_padding,
            erase_value=cfg.not3d.erase_value,
            erase_aspect_draw=cfg.not3d.erase_aspect_draw,
            erase_attempts=cfg.not3d.erase_attempts,
            bad_frames=cfg.data.bad_frames,
            seed=cfg.train.seed,
            training=training,
        )
    # The engine reports the sources as what the model was trained on.
    datamanager.sources = list(cfg.data.sources)
    return datamanager


def build_model(cfg: CfgNode, num_classes: int, *, training: bool) -> VideoReID:
    """Build the model that a configuration describes, and load the weights that it starts from.

    Args:
        cfg: a complete configuration.
        num_classes: K, the number of identities to classify in training.
        training: whether the model is built to be trained. It then starts from
            ``model.load_weights`` or else ``model.pretrained``, or from neither where
            ``model.resume`` continues a run. If False, ``model.load_weights`` alone counts, and
            weights that leave more than the classifier at its initial values are refused.

    Raises:
        ConfigError: if the model cannot be built this way, or has no layer of a name that the
            training uses.
        WeightsError: if the weights cannot be fetched, read or loaded.
    """
    started = bool(cfg.model.resume or cfg.model.load_weights)
    with _as_config_error():
        model = architecture_of(cfg.model.name)(
            num_classes,
            loss=CRITERIA[cfg.loss.name].model_loss,
            pretrained=cfg.model.pretrained if training and not started else False,
            use_gpu=cfg.use_gpu,
            aggregation=aggregation_in(cfg),
            attention_init=cfg.not3d.attention_init,
            frames=cfg.video.seq_len,
            frame_size=(cfg.data.height, cfg.data.width),
        )
    if cfg.model.load_weights and not (training and cfg.model.resume):
        load(model, cfg.model.load_weights, whole=not training)
    if training:
        check_layers(cfg, model)
    return model


def test_options(cfg: CfgNode, *, whole: bool = False) -> TestOptions:
    """Return the options by which a configuration tests.

    Args:
        cfg: a complete configuration.
        whole: whether the test is a command of its own, which reports every detail and judges MARS
            by all protocols, and not one of a training run.
    """
    return TestOptions(
        inference=InferenceOptions(cfg.test.precision, cfg.test.compile),
        protocol=cfg.test.protocol,
        all_protocols_on=("mars",) if whole else (),
        evaluator=cfg.test.evaluator,
        distractors=cfg.test.distractors,
        memory=int(cfg.test.memory_gib * 2**30),
        details=whole,
    )


def build_engine(
    cfg: CfgNode, datamanager: Any, model: VideoReID, *, testing: bool = False
) -> AnyEngine:
    """Build the engine that a configuration describes, with its optimizers and schedule.

    Args:
        cfg: a complete configuration.
        datamanager: the data, as :func:`build_datamanager` returns it.
        model: the model, as :func:`build_model` returns it.
        testing: whether the engine only tests, and reports every detail of the test.

    Raises:
        ConfigError: if a value cannot be used.
    """
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
        if model.aggregation_name == LIVE_ATTENTION:
            scale_attention_lr(optimizer, model, cfg.not3d.attention_lr_mult)
        scheduler = _build_scheduler(cfg, optimizer)
        if cfg.engine == "torchreid" and not testing:
            return build_stock_engine(
                cfg, datamanager, model, optimizer, scheduler, as_mapping(cfg)
            )
        if type(optimizer) is torch.optim.Adam:
            for group in optimizer.param_groups:
                group["fused"] = True  # one pass over the memory; torchreid has no switch for it
        return VideoNot3DEngine(
            datamanager,
            model,
            optimizer,
            scheduler,
            use_gpu=cfg.use_gpu,
            criterion=_build_criterion(cfg, model),
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
            test_options=test_options(cfg, whole=testing),
            config=as_mapping(cfg),
        )


def _build_criterion(cfg: CfgNode, model: VideoReID) -> Criterion:
    kind, values = CRITERIA[cfg.loss.name], dict(leaves(cfg))
    settings = {argument: values[key] for argument, key in kind.settings.items()}
    return kind.configured(model.num_classes, model.feature_dim, settings)


def _build_scheduler(cfg: CfgNode, optimizer: torch.optim.Optimizer) -> Any:
    if cfg.train.lr_scheduler == "none":
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
