"""The table of keys: what each takes, and that it says what is so elsewhere."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest
from torch import nn

from nr3d import data, features, metrics, models
from nr3d.config import KEYS, Command, Scope, default_config, keys_that_change, load_config
from nr3d.config.values import Choice, FlagOrText, Number, Several, Text, Whole
from nr3d.data.tracklets import BAD_FRAMES
from nr3d.errors import ConfigError
from nr3d.features.extraction import POOLINGS
from nr3d.features.precision import PRECISIONS
from nr3d.host import torchreid
from nr3d.losses.erasing_attention import ErasingAttentionReduction
from nr3d.losses.not3d import SmoothingOver
from nr3d.metrics.distances import METRICS
from nr3d.runs import building, configuration

WRONG: list[Any] = [None, True, "x y", "", float("nan"), float("inf"), -float("inf"), -1, 0, 0.5]
WRONG += [2**32, 10**20, 10**5000, [], [[1]], [1, 1], ["a", "a"], [1, "a", None], {"a": 1}]
WRONG += [b"x", "a" * 5000, "a\0b", "\ud800", [0.5], [0.5] * 4, [0.5, 0.5, -1.0], (1, 2), 1j]


def taken(name: str, value: Any) -> bool:
    """Say whether a value is usable by its key, in a configuration that is otherwise right."""
    cfg = default_config()
    *sections, last = name.split(".")
    node = cfg
    for section in sections:
        node = node[section]
    dict.__setitem__(node, last, value)  # yacs itself refuses some types
    try:
        configuration.check(cfg)
    except ConfigError as error:
        message = str(error)
        assert message.startswith(name) or "sgd.nesterov" in message, message
        assert "expected" in message
        assert len(message) < 600
        assert message.isprintable()
        return False
    return True


@pytest.mark.parametrize("name", KEYS)
def test_every_key_takes_or_refuses_any_value_by_one_line(name: str) -> None:
    accepted = [value for value in WRONG if taken(name, value)]
    kind = KEYS[name].kind
    assert all(value in accepted or not isinstance(value, bool) for value in accepted)
    if isinstance(kind, Whole):
        assert all(kind.least <= int(value) <= kind.most for value in accepted)
    elif isinstance(kind, Number):
        assert all(kind.least <= float(value) <= kind.most for value in accepted)
    elif isinstance(kind, Choice):
        assert accepted in ([], [None, ""])
    elif isinstance(kind, Several) and isinstance(kind.item, Whole):
        assert [1, 1] not in accepted
    assert 10**5000 not in accepted
    assert b"x" not in accepted
    if isinstance(kind, Text) and not isinstance(kind, FlagOrText):
        assert "a\0b" not in accepted
        assert "\ud800" not in accepted


@pytest.mark.parametrize(
    ("key", "text", "told"),
    [
        ("train.seed", "-1", "train.seed is -1, expected 0 or more"),
        ("train.seed", "4294967296", "train.seed is 4294967296, expected at most 4294967295"),
        ("data.split_id", "-1", "data.split_id is -1, expected 0 or more"),
        ("data.sources", "[]", "data.sources is [], expected names of datasets, at least 1"),
        ("data.sources", "[mars, mars]", "expected names of datasets, none of them twice"),
        ("data.norm_mean", "[0.5]", "data.norm_mean is [0.5], expected 3 numbers"),
        ("data.norm_mean", "[123.0, 117.0, 104.0]", "each a number from 0 to 1"),
        ("data.norm_std", "[0.2, 0.2, 0]", "data.norm_std is [0.2, 0.2, 0.0], expected numbers"),
        ("not3d.crop_padding", "-1", "not3d.crop_padding is -1, expected 0 or more"),
        ("video.seq_len", "1000000", "expected at most 1024: all frames of a batch's clips are"),
        ("train.stepsize", "[]", "train.stepsize is [], expected the epochs of a step"),
        ("train.stepsize", "[0]", "train.stepsize is [0], expected epochs, each at least 1"),
        ("train.lr", "0", "train.lr is 0.0, expected a number of more than 0"),
        ("train.lr", "nan", "train.lr is nan, expected a number"),
        ("train.weight_decay", "-1e-4", "train.weight_decay is -0.0001, expected a number from 0"),
        ("train.gamma", "inf", "train.gamma is inf, expected a number"),
        ("train.max_epoch", "1" + "0" * 20, "is 100000000000000000000, expected at most 1000000"),
        ("video.pooling_method", "average", "is 'average', expected one of avg, max"),
        ("train.lr_scheduler", "single", "expected one of none, warmup_multi_step, single_step"),
        ("sampler.train_sampler", "Random", "expected one of RandomIdentitySampler, Sequential"),
        ("data.transforms", "[random_flip, blur]", "transforms, each one of random_flip, random_"),
        ("data.bad_frames", "ignore", "data.bad_frames is 'ignore', expected one of error, skip"),
        (
            "model.aggregation",
            "max",
            "is 'max', expected one of default, attention, group_conf",
        ),
        ("not3d.center_reduction", "sum", "expected one of mean, half_sum"),
        ("not3d.erase_attempts", "0", "not3d.erase_attempts is 0, expected at least 1"),
        ("not3d.max_test_clips", "-1", "not3d.max_test_clips is -1, expected 0 or more"),
        ("not3d.erase_value", "mean", "is 'mean', expected one of zero, imagenet_mean"),
        ("not3d.attention_init", "he", "is 'he', expected one of default, kaiming"),
        ("model.name", "resnet5", "model.name is 'resnet5', expected one of nr3d_resnet50_ibn"),
        (
            "model.name",
            "hacnn",
            "model.name is 'hacnn', which is none for video (it trains two",
        ),
        ("adam.beta1", "1", "expected a number of at least 0 and less than 1"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(key: str, text: str, told: str) -> None:
    changes = [key, text, "train.lr_scheduler", "single_step"]
    with pytest.raises(ConfigError, match=re.escape(told)):
        configuration.check(load_config("mars", changes if "scheduler" not in key else [key, text]))


def test_nesterov_needs_its_momentum() -> None:
    with pytest.raises(ConfigError, match=r"sgd\.nesterov is True with sgd\.momentum 0 and"):
        configuration.check(load_config("mars", ["sgd.nesterov", "True", "sgd.momentum", "0"]))
    configuration.check(load_config("mars", ["sgd.nesterov", "True"]))


def test_an_epoch_over_identities_needs_the_identity_sampler() -> None:
    changes = ["sampler.train_sampler", "RandomSampler"]
    told = "'identities' with sampler.train_sampler 'RandomSampler', expected RandomIdentitySampler"
    with pytest.raises(ConfigError, match=told):
        configuration.check(load_config("mars_reference", changes))
    configuration.check(load_config("mars", changes))


def choices(name: str) -> tuple[str, ...]:
    kind: Any = KEYS[name].kind
    return tuple(getattr(kind, "item", kind).choices)


def test_the_choices_are_those_of_what_takes_the_value() -> None:
    assert choices("train.optim") == tuple(torchreid.optim.optimizer.AVAI_OPTIMS)
    assert choices("train.lr_scheduler")[2:] == tuple(torchreid.optim.lr_scheduler.AVAI_SCH)
    assert choices("sampler.train_sampler") == tuple(torchreid.data.sampler.AVAI_SAMPLERS)
    assert choices("data.transforms") == data.transforms.TRANSFORMS
    assert choices("data.bad_frames") == BAD_FRAMES
    assert choices("not3d.augment_per") == data.transforms.AUGMENT_PER
    assert choices("not3d.erase_value") == tuple(data.transforms.ERASE_VALUES)
    assert choices("not3d.erase_aspect_draw") == tuple(data.transforms.ERASE_ASPECTS)
    assert choices("not3d.epoch_over") == data.manager.EPOCHS
    assert choices("not3d.attention_init") == models.INITIALISATIONS
    assert choices("not3d.label_smoothing_over") == get_args(SmoothingOver)
    assert choices("not3d.erasing_attention_reduction") == get_args(ErasingAttentionReduction)
    assert choices("train.precision") == choices("test.precision") == PRECISIONS
    assert choices("video.pooling_method") == tuple(POOLINGS)
    assert choices("test.protocol") == metrics.PROTOCOLS
    assert choices("test.dist_metric") == METRICS
    assert set(choices("video.sample_method")) == set(data.tracklets._DRAWS)
    ranks: Any = KEYS["test.ranks"].kind
    assert ranks.item.most == metrics.MAX_RANK


def test_what_a_store_is_bound_to_has_names_of_its_own() -> None:
    bound = [key.short for key in keys_that_change(Scope.FEATURES, Command.EXTRACT)]
    assert len(set(bound)) == len(bound)
    assert sorted(bound) == [
        *("aggregation", "attention", "bad_frames", "combineall", "height", "max_test_clips"),
        *("model", "norm_mean", "norm_std", "pooling_method", "precision", "sample_method"),
        *("seq_len", "split_id", "width"),
    ]


@pytest.mark.parametrize("name", KEYS)
def test_every_key_is_used_and_its_default_is_usable(name: str) -> None:
    key = KEYS[name]
    assert key.commands
    assert key.kind.take(key.default) == key.default
    assert key.kind.expected(key.default) is None
    assert key.about[0].islower()
    assert len(key.about) < 80


def test_layers_are_those_of_the_network(small_model: Any) -> None:
    model: nn.Module = small_model(aggregation="mean")
    cfg = load_config("mars", ["train.open_layers", "[fc]", "train.new_layers", "[fc]"])
    building.check_layers(cfg, model)  # neither is used
    for changes, key in (
        (["train.fixbase_epoch", "1", "train.open_layers", "[fc]"], "train.open_layers"),
        (["train.fixbase_epoch", "1", "train.open_layers", "[]"], "train.open_layers"),
        # It has no parameter: nothing would learn.
        (["train.fixbase_epoch", "1", "train.open_layers", "[aggregation]"], "train.open_layers"),
        (["train.staged_lr", "True", "train.new_layers", "[head]"], "train.new_layers"),
    ):
        with pytest.raises(ConfigError, match=rf"{key} is .*backbone, bottleneck, classifier"):
            building.check_layers(load_config("mars", changes), model)


def test_functions_refuse_what_is_not_one_of_their_choices(small_model: Any) -> None:
    inference = features.Inference(small_model(), features.Precision("float32", _cpu()).device)
    with pytest.raises(ValueError, match="pooling is 'average', expected one of"):
        features.extract_each(_no_tracklets(), inference, pooling="average")


def _cpu() -> Any:
    import torch

    return torch.device("cpu")


def _no_tracklets() -> data.FrameLoader:
    transform = data.ClipTransform(32, 16)
    return data.FrameLoader(data.TestTracklets([], transform, 2), [])
