"""Builders of a configuration's data and engine from torchreid's own (``engine: torchreid``)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from yacs.config import CfgNode

from nr3d.config import leaves
from nr3d.data.loading import kinds_of, load_datasets, refuse_without_training
from nr3d.engine import STOCK_ENGINES, StockSoftmaxEngine, StockTripletEngine
from nr3d.errors import ConfigError, shown
from nr3d.host import torchreid
from nr3d.models import VideoReID
from nr3d.parallel import world
from nr3d.registry import registered_video_datasets

_USABLE: dict[str, tuple[Any, ...]] = {
    "data.pack": ("",),
    "data.bad_frames": ("error",),
    "video.sample_method": ("evenly", "random"),
    "train.checkpoint_steps": (0,),
    "train.precision": ("auto", "float32"),
    "train.compile": (False,),
    "train.accumulation_steps": (1,),
    "test.precision": ("auto", "float32"),
    "test.compile": (False,),
    "test.protocol": ("torchreid",),
    "test.distractors": ("keep",),
    "not3d.test_sample_method": ("dense",),
}
"""Values that torchreid's engines and data can follow, for keys that they ignore or only support in
part; the default comes first if it is one of them."""


def check_stock(cfg: CfgNode) -> None:
    """Refuse what torchreid's engines cannot do.

    Args:
        cfg: a complete configuration with ``engine: torchreid``.

    Raises:
        ConfigError: if a key is set to something else; the message names the keys, their values and
            what is expected.
    """
    if cfg.loss.name not in STOCK_ENGINES:
        raise ConfigError(
            f"loss.name is {shown(cfg.loss.name)} and engine is 'torchreid', expected one of "
            f"{', '.join(STOCK_ENGINES)} with it: set loss.name, or engine nr3d"
        )
    if world().size > 1:
        raise ConfigError(
            f"engine is 'torchreid' in {world().size} processes, and torchreid's engines train in "
            "one: start it without torchrun, or set engine nr3d"
        )
    values = dict(leaves(cfg))
    wrong = [
        f"{key} is {shown(values[key])}, expected {' or '.join(map(shown, usable))}"
        for key, usable in _USABLE.items()
        if values[key] not in usable
    ]
    if wrong:
        raise ConfigError(
            f"engine is 'torchreid', whose engines cannot do all that is set ({'; '.join(wrong)}): "
            "set these so, or engine nr3d"
        )


def data_options(cfg: CfgNode) -> dict[str, Any]:
    """Return the options that torchreid's data manager and nr3d's have in common.

    Args:
        cfg: a complete configuration.
    """
    return {
        "root": cfg.data.root,
        "targets": list(cfg.data.targets),
        "height": cfg.data.height,
        "width": cfg.data.width,
        "transforms": list(cfg.data.transforms),
        "norm_mean": list(cfg.data.norm_mean),
        "norm_std": list(cfg.data.norm_std),
        "use_gpu": cfg.use_gpu,
        "split_id": cfg.data.split_id,
        "combineall": cfg.data.combineall,
        # More workers than CPUs only slow the loading down; the batches are the same.
        "workers": min(cfg.data.workers, os.cpu_count() or 1),
        "num_instances": cfg.sampler.num_instances,
        "num_cams": cfg.sampler.num_cams,
        "num_datasets": cfg.sampler.num_datasets,
        "seq_len": cfg.video.seq_len,
    }


def build_stock_datamanager(cfg: CfgNode) -> Any:
    """Build torchreid's ``VideoDataManager`` as a configuration describes it.

    nr3d loads the datasets first, and says in one line what is wrong with one.

    Args:
        cfg: a complete configuration.

    Raises:
        ConfigError: if a key is set to something that torchreid's engines cannot do.
        DataError: if a dataset or one of its files is missing or does not fit.
    """
    check_stock(cfg)
    names = [*cfg.data.sources, *cfg.data.targets]
    loaded = load_datasets(
        names, cfg.data.root, split_id=cfg.data.split_id, combineall=cfg.data.combineall
    )
    of_images = [name for name in loaded if name not in registered_video_datasets()]
    if of_images:
        raise ConfigError(
            f"engine is 'torchreid', whose data of video takes no dataset of images "
            f"({', '.join(of_images)}): give others, or set engine nr3d"
        )
    refuse_without_training(loaded, cfg.data.sources)
    frames = cfg.test.batch_size or (256 if cfg.use_gpu else 32)
    datamanager = torchreid.data.VideoDataManager(
        **data_options(cfg),
        sources=list(cfg.data.sources),
        batch_size_train=cfg.train.batch_size,
        # Tracklets here, frames in the configuration.
        batch_size_test=max(1, frames // cfg.video.seq_len),
        train_sampler=cfg.sampler.train_sampler,
        sample_method=cfg.video.sample_method,
    )
    datamanager.test_kinds = kinds_of(loaded, cfg.data.targets, "test")
    return datamanager


def build_stock_engine(
    cfg: CfgNode,
    datamanager: Any,
    model: VideoReID,
    optimizer: Optimizer,
    scheduler: Any | None,
    config: Mapping[str, Any],
) -> StockSoftmaxEngine | StockTripletEngine:
    """Build torchreid's engine for the loss of a configuration.

    Args:
        cfg: a complete configuration.
        datamanager: the data, as :func:`build_stock_datamanager` returns it.
        model, optimizer, scheduler: network, optimizer and schedule of the configuration.
        config: the configuration as plain values.
    """
    options: dict[str, Any] = {
        "label_smooth": cfg.loss.softmax.label_smooth,
        "pooling_method": cfg.video.pooling_method,
    }
    if cfg.loss.name == "triplet":
        of_triplet = cfg.loss.triplet
        options |= {"margin": of_triplet.margin, "weight_t": of_triplet.weight_t}
        options["weight_x"] = of_triplet.weight_x
    return STOCK_ENGINES[cfg.loss.name](
        datamanager,
        model,
        optimizer,
        loss=cfg.loss.name,
        scheduler=scheduler,
        use_gpu=cfg.use_gpu,
        facts={
            "frames": cfg.video.seq_len,
            "mean": list(cfg.data.norm_mean),
            "std": list(cfg.data.norm_std),
        },
        config=config,
        **options,
    )
