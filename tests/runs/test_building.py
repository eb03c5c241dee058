"""Every key of a configuration reaches the part that it describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from nr3d.config import KEYS, Command, config_of
from nr3d.errors import ConfigError
from nr3d.models import AGGREGATIONS, VideoReID
from nr3d.runs.building import device_of
from nr3d.runs.run import Run

Reads = Mapping[str, Callable[[Run], Any]]
"""Key to a function that returns its value from where a run that is built has it."""

SMALL: dict[str, Any] = {
    "model.name": "nr3d_resnet18_ibn",
    "model.pretrained": False,
    "data.height": 32,
    "data.width": 16,
    "data.workers": 0,
    "sampler.num_instances": 2,
    "train.batch_size": 4,
    "video.seq_len": 2,
}


def run_of(command: Command, root: Path, values: Mapping[str, Any]) -> Run:
    """Return a run of a configuration that has some values, and else the defaults."""
    sections: dict[str, Any] = {}
    for key, value in {**SMALL, "data.root": str(root), **values}.items():
        *path, name = key.split(".")
        node = sections
        for section in path:
            node = node.setdefault(section, {})
        node[name] = value
    return Run(config_of(sections), command)


def clips(run: Run) -> Any:
    found = run.datamanager.train_loader.dataset
    return getattr(found, "dataset", found)


def sampler(run: Run) -> Any:
    found = run.datamanager.train_loader.sampler
    return getattr(found, "sampler", found)


def query(run: Run) -> Any:
    return run.datamanager.test_loader[run.cfg.data.targets[0]]["query"]


def norm(name: str) -> Callable[[Run], list[float]]:
    """Return what reads a figure of the normalisation, where training and testing agree on it."""

    def read(run: Run) -> list[float]:
        train, test = (
            getattr(each.transform, name).flatten().tolist()
            for each in (clips(run), query(run).tracklets)
        )
        assert train == test
        return [round(value, 6) for value in train]

    return read


def group(run: Run, position: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = run.engine.optimizer.param_groups[position]
    return found


def parts_of(run: Run, position: int) -> list[str]:
    """Return the names of the parts that a group of the optimizer holds."""
    own = {id(parameter) for parameter in group(run, position)["params"]}
    parts = run.engine.model.named_children()
    return [name for name, part in parts if any(id(p) in own for p in part.parameters())]


def rates(run: Run, epochs: int) -> list[float]:
    """Return the learning rates of a run's first epochs, in shares of ``train.lr``."""
    found = []
    for _ in range(epochs):
        found.append(round(group(run)["lr"] / run.cfg.train.lr, 6))
        run.engine.optimizer.step()
        run.engine.scheduler.step()
    return found


STOCK_TRANSFORMS = {
    "RandomHorizontalFlip": "random_flip",
    "Random2DTranslation": "random_crop",
    "RandomErasing": "random_erase",
}
"""torchreid's class of each augmentation."""

DATA: list[tuple[dict[str, Any], Reads]] = [
    (
        {
            "data.sources": ["mars", "prid2011"],
            "data.targets": ["prid2011"],
            "data.workers": 0,
            "data.height": 48,
            "data.width": 24,
            "data.transforms": ["random_crop", "random_erase"],
            "data.norm_mean": [0.25, 0.5, 0.75],
            "data.norm_std": [0.5, 0.125, 0.25],
            "data.bad_frames": "skip",
            "data.cache_frames": True,
            "sampler.train_sampler": "RandomDatasetSampler",
            "sampler.num_datasets": 2,
            "video.seq_len": 3,
            "video.sample_method": "random",
            "video.pooling_method": "max",
            "not3d.test_sample_method": "evenly",
            "not3d.crop_padding": 4,
            "not3d.augment_per": "frame",
            "not3d.erase_value": "imagenet_mean",
            "not3d.erase_aspect_draw": "uniform",
            "not3d.erase_attempts": 3,
            "train.batch_size": 6,
            "train.seed": 5,
            "test.batch_size": 7,
        },
        {
            "data.sources": lambda run: run.datamanager.sources,
            "data.targets": lambda run: list(run.datamanager.test_loader),
            "data.workers": lambda run: run.datamanager.train_loader.num_workers,
            "data.height": lambda run: clips(run)[0]["img"].shape[2],
            "data.width": lambda run: clips(run)[0]["img"].shape[3],
            "data.transforms": lambda run: list(clips(run).transform.transforms),
            "data.norm_mean": norm("mean"),
            "data.norm_std": norm("std"),
            "data.bad_frames": lambda run: clips(run).bad_frames,
            "data.cache_frames": lambda run: clips(run).cache is not None,
            "sampler.train_sampler": lambda run: type(sampler(run)).__name__,
            "sampler.num_datasets": lambda run: sampler(run).n_dataset,
            "video.seq_len": lambda run: clips(run)[0]["img"].shape[0],
            "video.sample_method": lambda run: clips(run).draw.__name__.split("_")[0],
            "video.pooling_method": lambda run: run.engine.pooling_method,
            # Ten frames of a person under a camera in one clip, and not in four.
            "not3d.test_sample_method": lambda run: (
                "evenly" if len(query(run).tracklets.clips(10)) == 1 else "dense"
            ),
            "not3d.crop_padding": lambda run: clips(run).transform.padding,
            "not3d.augment_per": lambda run: clips(run).transform.augment_per,
            "not3d.erase_value": lambda run: (
                "imagenet_mean" if clips(run).transform.erase_value.any() else "zero"
            ),
            "not3d.erase_aspect_draw": lambda run: clips(run).transform.erase_aspect_draw,
            "not3d.erase_attempts": lambda run: clips(run).transform.erase_attempts,
            "train.batch_size": lambda run: run.datamanager.train_loader.batch_size,
            "train.seed": lambda run: run.datamanager.train_loader.sampler.seed,
            "test.batch_size": lambda run: query(run).frames,
        },
    ),
    (
        {
            "data.split_id": 1,
            "data.combineall": True,
            "data.sources": ["prid2011"],
            "data.targets": ["prid2011"],
            "sampler.train_sampler": "RandomIdentitySampler",
            "sampler.num_instances": 3,
            "train.batch_size": 6,
        },
        {
            "data.split_id": lambda run: int("person_0001" in query(run).tracklets.name(0)),
            "data.combineall": lambda run: run.datamanager.num_train_pids == 4,
            "sampler.train_sampler": lambda run: type(sampler(run)).__name__,
            "sampler.num_instances": lambda run: sampler(run).num_instances,
        },
    ),
    (
        {"sampler.train_sampler": "RandomDomainSampler", "sampler.num_cams": 2},
        {"sampler.num_cams": lambda run: sampler(run).n_domain},
    ),
    (
        {
            "sampler.train_sampler": "RandomIdentitySampler",
            "not3d.epoch_over": "identities",
            "not3d.max_test_clips": 2,
        },
        {
            # Eight identities with two of their four tracklets each, in batches of four.
            "not3d.epoch_over": lambda run: (
                "identities" if len(run.datamanager.train_loader) == 4 else "tracklets"
            ),
            # In clips of two of their five frames.
            "not3d.max_test_clips": lambda run: len(query(run).tracklets.positions(0)) / 2,
        },
    ),
]

STEPS: list[tuple[dict[str, Any], Reads]] = [
    (
        {
            "model.name": "nr3d_resnet18_ibn",
            "model.aggregation": "mean",
            "train.precision": "fp16",
            "train.channels_last": False,
            "train.accumulation_steps": 3,
            "train.checkpoint_steps": 2,
            "train.gather_features": False,
            "train.sync_norms": True,
            "test.precision": "fp16",
            "test.protocol": "ap3d",
            "test.distractors": "drop",
            "test.memory_gib": 0.5,
            "not3d.center_lr": 0.25,
        },
        {
            "model.name": lambda run: run.engine.model.architecture,
            "model.aggregation": lambda run: next(
                name
                for name, kind in AGGREGATIONS.items()
                if isinstance(run.engine.model.aggregation, kind)
            ),
            "train.precision": lambda run: run.engine.precision.name,
            "train.channels_last": lambda run: run.engine.model.backbone.conv1.weight.is_contiguous(
                memory_format=torch.channels_last
            ),
            "train.accumulation_steps": lambda run: run.engine.step.options.accumulation_steps,
            "train.checkpoint_steps": lambda run: run.engine.options.checkpoint_steps,
            "train.gather_features": lambda run: run.engine.step.options.gather_features,
            "train.sync_norms": lambda run: run.engine.options.sync_norms,
            "test.precision": lambda run: run.engine.inference().precision.name,
            "test.protocol": lambda run: run.engine.test_options.protocol,
            "test.distractors": lambda run: run.engine.test_options.distractors,
            "test.memory_gib": lambda run: run.engine.test_options.memory / 2**30,
            "not3d.center_lr": lambda run: run.engine.step.loss_optimizers[0].param_groups[0]["lr"],
        },
    ),
    (
        {"train.lr": 0.5, "not3d.attention": "live", "not3d.attention_lr_mult": 0.25},
        {
            "train.lr": lambda run: group(run, 1)["lr"],
            "not3d.attention": lambda run: run.engine.model.aggregation_name.split("_")[0],
            "not3d.attention_lr_mult": lambda run: group(run)["lr"] / group(run, 1)["lr"],
        },
    ),
    (
        {"not3d.attention_init": "kaiming"},
        {
            "not3d.attention_init": lambda run: (
                "default" if run.model.aggregation.spatial.bias.any() else "kaiming"
            )
        },
    ),
    (
        {
            "loss.name": "vprt",
            "loss.osm_caa.sigma": 0.5,
            "loss.osm_caa.alpha": 1.5,
            "loss.osm_caa.negative_share": 0.25,
            "loss.osm_caa.beta": 0.75,
        },
        {
            "loss.name": lambda run: run.engine.criterion.name,
            "loss.osm_caa.sigma": lambda run: run.engine.criterion.osm_caa.sigma,
            "loss.osm_caa.alpha": lambda run: run.engine.criterion.osm_caa.alpha,
            "loss.osm_caa.negative_share": lambda run: run.engine.criterion.osm_caa.negative_share,
            "loss.osm_caa.beta": lambda run: run.engine.criterion.beta,
        },
    ),
    (
        {"test.evaluator": "torchreid"},
        {"test.evaluator": lambda run: run.engine.test_options.evaluator},
    ),
    (
        {
            "train.optim": "amsgrad",
            "train.lr": 0.5,
            "train.weight_decay": 0.25,
            "train.staged_lr": True,
            "train.new_layers": ["bottleneck"],
            "train.base_lr_mult": 0.125,
            "adam.beta1": 0.5,
            "adam.beta2": 0.75,
        },
        {
            "train.optim": lambda run: "amsgrad" if group(run)["amsgrad"] else "adam",
            "train.lr": lambda run: group(run, 1)["lr"],
            "train.weight_decay": lambda run: group(run)["weight_decay"],
            "train.staged_lr": lambda run: len(run.engine.optimizer.param_groups) == 2,
            "train.new_layers": lambda run: parts_of(run, 1),
            "train.base_lr_mult": lambda run: group(run)["lr"] / group(run, 1)["lr"],
            "adam.beta1": lambda run: group(run)["betas"][0],
            "adam.beta2": lambda run: group(run)["betas"][1],
        },
    ),
    (
        {"train.optim": "sgd", "sgd.momentum": 0.5, "sgd.dampening": 0.25},
        {
            "train.optim": lambda run: type(run.engine.optimizer).__name__.lower(),
            "sgd.momentum": lambda run: group(run)["momentum"],
            "sgd.dampening": lambda run: group(run)["dampening"],
        },
    ),
    (
        {"train.optim": "sgd", "sgd.nesterov": True},
        {"sgd.nesterov": lambda run: group(run)["nesterov"]},
    ),
    (
        {"train.optim": "rmsprop", "rmsprop.alpha": 0.5, "sgd.momentum": 0.75},
        {
            "train.optim": lambda run: type(run.engine.optimizer).__name__.lower(),
            "rmsprop.alpha": lambda run: group(run)["alpha"],
            "sgd.momentum": lambda run: group(run)["momentum"],
        },
    ),
    (
        {
            "not3d.metric_loss": "triplet",
            "not3d.margin": 0.5,
            "not3d.alpha": 3.0,
            "not3d.temperature": 0.25,
            "not3d.negative_weight": 0.75,
            "not3d.center_reduction": "half_sum",
            "not3d.label_smoothing_over": "batch",
            "not3d.erasing_attention_reduction": "sum",
            "not3d.id_weight": 2.0,
            "not3d.ranked_list_weight": 3.0,
            "not3d.center_weight": 4.0,
            "not3d.erasing_attention_weight": 5.0,
            "loss.softmax.label_smooth": False,
        },
        {
            "not3d.metric_loss": lambda run: run.engine.criterion.metric_loss,
            "not3d.margin": lambda run: run.engine.criterion.ranked_list.margin,
            "not3d.alpha": lambda run: run.engine.criterion.ranked_list.alpha,
            "not3d.temperature": lambda run: run.engine.criterion.ranked_list.temperature,
            "not3d.negative_weight": lambda run: run.engine.criterion.ranked_list.negative_weight,
            "not3d.center_reduction": lambda run: run.engine.criterion.center.reduction,
            "not3d.label_smoothing_over": lambda run: run.engine.criterion.label_smoothing_over,
            "not3d.erasing_attention_reduction": lambda run: (
                run.engine.criterion.erasing_attention.reduction
            ),
            "not3d.id_weight": lambda run: run.engine.criterion.id_weight,
            "not3d.ranked_list_weight": lambda run: run.engine.criterion.ranked_list_weight,
            "not3d.center_weight": lambda run: run.engine.criterion.center_weight,
            "not3d.erasing_attention_weight": lambda run: (
                run.engine.criterion.erasing_attention_weight
            ),
            "loss.softmax.label_smooth": lambda run: run.engine.criterion.label_smoothing > 0,
        },
    ),
    (
        {"loss.name": "softmax", "loss.softmax.label_smooth": False},
        {
            "loss.name": lambda run: run.engine.criterion.name,
            "loss.softmax.label_smooth": lambda run: run.engine.criterion.cross_entropy.eps > 0,
        },
    ),
    (
        {
            "loss.name": "triplet",
            "loss.triplet.margin": 0.5,
            "loss.triplet.weight_t": 0.25,
            "loss.triplet.weight_x": 0.75,
            "loss.softmax.label_smooth": False,
        },
        {
            "loss.name": lambda run: run.engine.criterion.name,
            "loss.triplet.margin": lambda run: run.engine.criterion.hard_triplets.margin,
            "loss.triplet.weight_t": lambda run: run.engine.criterion.weight_t,
            "loss.triplet.weight_x": lambda run: run.engine.criterion.weight_x,
            "loss.softmax.label_smooth": lambda run: (
                run.engine.criterion.softmax.cross_entropy.eps > 0
            ),
        },
    ),
]

STOCK: list[tuple[dict[str, Any], Reads]] = [
    (
        {
            "engine": "torchreid",
            "loss.name": "triplet",
            "loss.triplet.margin": 0.5,
            "loss.triplet.weight_t": 0.25,
            "loss.triplet.weight_x": 0.75,
            "loss.softmax.label_smooth": False,
            "data.sources": ["prid2011"],
            "data.targets": ["prid2011"],
            "data.split_id": 1,
            "data.combineall": True,
            "data.workers": 0,
            "data.height": 48,
            "data.width": 24,
            "data.transforms": ["random_erase"],
            "data.norm_mean": [0.25, 0.5, 0.75],
            "data.norm_std": [0.5, 0.125, 0.25],
            "sampler.train_sampler": "RandomIdentitySampler",
            "sampler.num_instances": 3,
            "video.seq_len": 5,
            "video.sample_method": "random",
            "video.pooling_method": "max",
            "train.batch_size": 6,
            "test.batch_size": 10,
        },
        {
            "engine": lambda run: type(run.engine).__mro__[2].__module__.partition(".")[0],
            "loss.name": lambda run: run.engine.model.loss,
            "loss.triplet.margin": lambda run: run.engine.criterion_t.margin,
            "loss.triplet.weight_t": lambda run: run.engine.weight_t,
            "loss.triplet.weight_x": lambda run: run.engine.weight_x,
            "loss.softmax.label_smooth": lambda run: run.engine.criterion_x.eps > 0,
            "data.sources": lambda run: run.datamanager.sources,
            "data.targets": lambda run: list(run.datamanager.test_loader),
            "data.split_id": lambda run: int("person_0001" in query(run).dataset.query[0][0][0]),
            "data.combineall": lambda run: run.datamanager.num_train_pids == 4,
            "data.workers": lambda run: (
                run.datamanager.train_loader.num_workers or query(run).num_workers
            ),
            "data.height": lambda run: clips(run)[0]["img"].shape[2],
            "data.width": lambda run: clips(run)[0]["img"].shape[3],
            "data.transforms": lambda run: [
                STOCK_TRANSFORMS[kind]
                for kind in (type(each).__name__ for each in clips(run).transform.transforms)
                if kind in STOCK_TRANSFORMS
            ],
            "data.norm_mean": lambda run: clips(run).transform.transforms[2].mean,
            "data.norm_std": lambda run: clips(run).transform.transforms[2].std,
            "sampler.train_sampler": lambda run: type(sampler(run)).__name__,
            "sampler.num_instances": lambda run: sampler(run).num_instances,
            "video.seq_len": lambda run: clips(run)[0]["img"].shape[0],
            "video.sample_method": lambda run: clips(run).sample_method,
            "video.pooling_method": lambda run: run.engine.pooling_method,
            "train.batch_size": lambda run: run.datamanager.train_loader.batch_size,
            # In tracklets, of five frames each.
            "test.batch_size": lambda run: query(run).batch_size * 5,
        },
    ),
    (
        {"engine": "torchreid", "loss.name": "softmax", "loss.softmax.label_smooth": False},
        {"loss.softmax.label_smooth": lambda run: run.engine.criterion.eps > 0},
    ),
    (
        {
            "engine": "torchreid",
            "loss.name": "softmax",
            "sampler.train_sampler": "RandomDomainSampler",
            "sampler.num_cams": 2,
        },
        {"sampler.num_cams": lambda run: sampler(run).n_domain},
    ),
    (
        {
            "engine": "torchreid",
            "loss.name": "softmax",
            "data.sources": ["mars", "prid2011"],
            "sampler.train_sampler": "RandomDatasetSampler",
            "sampler.num_datasets": 2,
        },
        {"sampler.num_datasets": lambda run: sampler(run).n_dataset},
    ),
]


SCHEDULES: list[tuple[dict[str, Any], list[float] | None]] = [
    ({"train.lr_scheduler": "none"}, None),
    (
        {
            "train.lr_scheduler": "warmup_multi_step",
            "train.stepsize": [3, 4],
            "train.gamma": 0.5,
            "not3d.warmup_epochs": 2,
            "not3d.warmup_factor": 0.2,
        },
        [0.2, 0.6, 1, 0.5, 0.25],
    ),
    (
        {"train.lr_scheduler": "single_step", "train.stepsize": [2], "train.gamma": 0.5},
        [1, 1, 0.5, 0.5, 0.25],
    ),
    (
        {"train.lr_scheduler": "multi_step", "train.stepsize": [1, 4], "train.gamma": 0.5},
        [1, 0.5, 0.5, 0.5, 0.25],
    ),
    (
        {"train.lr_scheduler": "cosine", "train.max_epoch": 4},
        [1, 0.853553, 0.5, 0.146447, 0],
    ),
]

ELSEWHERE = {
    *("use_gpu", "model.pretrained", "model.load_weights", "model.resume"),  # below
    *("data.root", "data.pack"),  # tests of datasets and packs
    *("train.fixbase_epoch", "train.open_layers", "train.print_freq"),  # test_training
    *("test.eval_freq", "test.start_eval"),
    # test_training and test_testing
    *("test.dist_metric", "test.normalize_feature", "test.ranks", "test.rerank"),
    *("data.save_dir", "test.visrank", "test.visrank_topk"),
    *("transfer.config", "transfer.save_dir"),  # test_transfer
    *("train.compile", "test.compile"),  # tests of resources
}
"""Keys that other tests follow to their effect."""


def test_no_key_is_left_out() -> None:
    followed = [key for _, reads in (*DATA, *STEPS, *STOCK) for key in reads]
    followed += [key for schedule, _ in SCHEDULES for key in schedule]
    assert set(followed) | ELSEWHERE == set(KEYS)
    assert not set(followed) & ELSEWHERE


@pytest.mark.parametrize(
    ("values", "reads"), [*DATA, *STEPS, *STOCK], ids=lambda each: next(iter(each))
)
def test_each_key_reaches_its_place(reid_data: Path, values: dict[str, Any], reads: Reads) -> None:
    run = run_of(Command.TRAIN, reid_data, values)
    found = {key: read(run) for key, read in reads.items()}
    assert found == {key: values[key] for key in reads}
    for key in found:
        assert found[key] != KEYS[key].default, f"{key} would be the same if it were ignored"


@pytest.mark.parametrize(("schedule", "expected"), SCHEDULES)
def test_the_learning_rate_follows_the_schedule(
    mars_root: Path, schedule: dict[str, Any], expected: list[float] | None
) -> None:
    run = run_of(Command.TRAIN, mars_root, schedule)
    if expected is None:
        assert run.engine.scheduler is None
    else:
        assert rates(run, 5) == pytest.approx(expected)


@pytest.mark.parametrize("engine", ["nr3d", "torchreid"])
def test_a_gpu_is_not_used_where_the_configuration_says_so(
    mars_root: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    loss = {"nr3d": "not3d", "torchreid": "softmax"}[engine]
    values = {"use_gpu": False, "engine": engine, "loss.name": loss}
    run = run_of(Command.TRAIN, mars_root, values)
    assert device_of(run.cfg) == torch.device("cpu")
    assert not run.datamanager.use_gpu
    assert not run.engine.use_gpu
    assert run.engine.device in (None, torch.device("cpu"))
    used = run_of(Command.TRAIN, mars_root, {})
    assert device_of(used.cfg) == torch.device("cuda", 0)


def test_torchreids_engines_refuse_details_that_they_cannot_follow(reid_data: Path) -> None:
    values = {
        "engine": "torchreid",
        "loss.name": "softmax",
        "not3d.max_test_clips": 41,
        "not3d.augment_per": "frame",
        "not3d.erase_value": "imagenet_mean",
    }
    with pytest.raises(ConfigError) as error:
        run_of(Command.TRAIN, reid_data, values).datamanager  # noqa: B018
    for told in ("max_test_clips is 41, expected 0", "augment_per is 'frame', expected 'clip'"):
        assert told in str(error.value)


def test_every_draw_of_a_run_begins_at_the_seed(mars_root: Path) -> None:
    weights = []
    for seed in (5, 5, 6):
        run = run_of(Command.TRAIN, mars_root, {"train.seed": seed})
        weights.append(run.engine.model.backbone.conv1.weight.detach())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_weights_that_a_run_starts_from(
    mars_root: Path, tmp_path: Path, small_model: Callable[..., VideoReID]
) -> None:
    paths, kernels = [], []
    for seed in (7, 8):
        model = small_model(8, seed)
        kernels.append(model.backbone.conv1.weight.detach())
        paths.append(str(tmp_path / f"{seed}.pth"))
        torch.save(model.state_dict(), paths[-1])
    pretrained, loaded = {"model.pretrained": paths[0]}, {"model.load_weights": paths[1]}

    def starts_from(command: Command, values: dict[str, Any]) -> list[bool]:
        kernel = run_of(command, mars_root, values).model.backbone.conv1.weight
        return [torch.equal(kernel, other) for other in kernels]

    assert starts_from(Command.TRAIN, {}) == [False, False]
    assert starts_from(Command.TRAIN, pretrained) == [True, False]
    assert starts_from(Command.TRAIN, pretrained | loaded) == [False, True]
    # Whatever the attention would start from, loaded weights replace it.
    kaiming = {"not3d.attention_init": "kaiming"}
    attention = run_of(Command.TRAIN, mars_root, loaded | kaiming).model.aggregation.state_dict()
    saved = torch.load(paths[1])
    for name, value in attention.items():
        assert torch.equal(value, saved[f"aggregation.{name}"])
    # The checkpoint that is resumed replaces every weight.
    resumed = {"model.resume": "model-last.pth.tar"}
    assert starts_from(Command.TRAIN, pretrained | loaded | resumed) == [False, False]
    assert starts_from(Command.TEST, pretrained) == [False, False]
    assert starts_from(Command.TEST, pretrained | loaded) == [False, True]
