"""Whole configurations: checks across keys, changed copies, and plain values."""

from __future__ import annotations

from typing import Any

from yacs.config import CfgNode

from nr3d.config import KEYS, check_values
from nr3d.config.aggregation import ATTENTION_FORMS, LIVE_ATTENTION, aggregation_of
from nr3d.errors import ConfigError, shown
from nr3d.losses import CRITERIA
from nr3d.models import AGGREGATIONS, TRUNKS, architecture_of, find_architecture
from nr3d.models.families import expected_instead_of
from nr3d.models.trunks.registry import built_for


def check(cfg: CfgNode) -> None:
    """Refuse values that would not do what they say, or would only fail after the training.

    Args:
        cfg: a complete configuration.

    Raises:
        ConfigError: if a value, or a combination of values, cannot be used; the message names the
            key, its value and what was expected.
    """
    check_values(cfg)
    architecture = find_architecture(cfg.model.name)
    if architecture is None:
        raise ConfigError(
            f"model.name is {shown(cfg.model.name)}, {expected_instead_of(cfg.model.name)}"
        )
    aggregations = ("default", *(name for name in AGGREGATIONS if name != LIVE_ATTENTION))
    live = cfg.model.aggregation == LIVE_ATTENTION
    if cfg.model.aggregation not in aggregations:
        raise ConfigError(
            f"model.aggregation is {shown(cfg.model.aggregation)}, expected one of "
            f"{', '.join(aggregations)}{'; set not3d.attention live' if live else ''}"
        )
    trunk = TRUNKS.find(architecture.trunk)
    if cfg.not3d.test_sample_method == "whole" and "frames" in built_for(trunk):
        raise ConfigError(
            f"not3d.test_sample_method is 'whole' and {cfg.model.name} is built for clips of one "
            "length, expected dense or evenly with it"
        )
    if cfg.not3d.epoch_over == "identities" and (
        cfg.sampler.train_sampler != "RandomIdentitySampler"
    ):
        raise ConfigError(
            f"not3d.epoch_over is 'identities' with sampler.train_sampler "
            f"{shown(cfg.sampler.train_sampler)}, expected RandomIdentitySampler with it"
        )
    if cfg.loss.name not in CRITERIA:
        raise ConfigError(
            f"loss.name is {shown(cfg.loss.name)}, expected one of {', '.join(CRITERIA)}"
        )
    if cfg.test.evaluator == "torchreid" and cfg.test.protocol != "torchreid":
        raise ConfigError(
            f"test.protocol is {cfg.test.protocol!r}, which torchreid's evaluator does not know: "
            "set test.evaluator nr3d"
        )
    if cfg.train.lr_scheduler == "single_step" and not cfg.train.stepsize:
        raise ConfigError("train.stepsize is [], expected the epochs of a step for single_step")
    if cfg.sgd.nesterov and not (cfg.sgd.momentum > 0 and cfg.sgd.dampening == 0):
        raise ConfigError(
            f"sgd.nesterov is True with sgd.momentum {cfg.sgd.momentum:g} and sgd.dampening "
            f"{cfg.sgd.dampening:g}, expected a momentum above 0 and a dampening of 0"
        )


def aggregation_in(cfg: CfgNode) -> str:
    """Return the name of the aggregation that a configuration selects."""
    chosen = cfg.model.aggregation
    if chosen == "default":
        chosen = architecture_of(cfg.model.name).aggregation
    return aggregation_of(chosen, cfg.not3d.attention)


def settled(cfg: CfgNode) -> CfgNode:
    """Return a configuration in which keys without an effect have their defaults.

    ``not3d.attention`` has none on a network with another aggregation, whose features must not
    count as others for it.
    """
    key = KEYS["not3d.attention"]
    if aggregation_in(cfg) in ATTENTION_FORMS.values() or cfg.not3d.attention == key.default:
        return cfg
    return changed(cfg, key.name, key.default)


def changed(cfg: CfgNode, key: str, value: Any) -> CfgNode:
    """Return a copy of a configuration with one key set to another value.

    Args:
        cfg: the configuration, which stays as it is.
        key: section and name, such as ``"data.split_id"``.
        value: the new value.
    """
    other = cfg.clone()
    other.defrost()
    section, name = key.split(".")
    other[section][name] = value
    other.freeze()
    return other
