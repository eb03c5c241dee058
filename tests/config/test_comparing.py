"""What may differ between two configurations, and where."""

from __future__ import annotations

from typing import Any

import pytest

from nr3d.config import (
    KEYS,
    Command,
    Scope,
    as_mapping,
    default_config,
    features_settings,
    steps_differing,
)


def with_value(name: str, value: Any) -> dict[str, Any]:
    config = as_mapping(default_config())
    *sections, last = name.split(".")
    node = config
    for section in sections:
        node = node[section]
    node[last] = value
    return config


@pytest.mark.parametrize("name", KEYS)
def test_a_run_goes_on_silently_only_where_its_steps_are_the_same(name: str) -> None:
    told = steps_differing(as_mapping(default_config()), with_value(name, "other"))
    key = KEYS[name]
    assert bool(told) == (Scope.STEPS in key.scope and Command.TRAIN in key.commands)
    assert all(line.startswith(f"{name} ") and line.endswith(", now 'other'") for line in told)


def test_the_length_of_a_run_is_that_of_a_cosine() -> None:
    one = {"train": {"lr_scheduler": "cosine", "max_epoch": 60}}
    other = {"train": {"lr_scheduler": "cosine", "max_epoch": 80}}
    assert steps_differing(one, other) == ["train.max_epoch 60, now 80"]
    one["train"]["lr_scheduler"] = other["train"]["lr_scheduler"] = "multi_step"
    assert steps_differing(one, other) == []


def test_a_key_of_another_version_has_its_default() -> None:
    assert steps_differing({}, as_mapping(default_config())) == []
    assert steps_differing({"train": {"seed": 1, "new": 2}, "x": 3}, {}) == []
    assert steps_differing({}, {"train": {"seed": 5}}) == ["train.seed 1, now 5"]


def test_damaged_configurations_are_those_of_nothing() -> None:
    for wrong in ([], "x", {"train": 5}, {1: {2: 3}}, {"train": {"lr": {"a": 1}}}):
        assert steps_differing(wrong, {}) == []
        assert features_settings(wrong) == features_settings({})
