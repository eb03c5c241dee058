"""Differences between two configurations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nr3d.config.keys import KEYS, keys_that_change, present_name
from nr3d.config.scopes import Command, Key, Scope
from nr3d.errors import shown


def leaves(content: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the keys of nested sections, joined by dots and by their present names, with values.

    Examples:
        >>> list(leaves({"train": {"lr": 1}}))
        [('train.lr', 1)]
    """
    if isinstance(content, Mapping):
        for key, value in content.items():
            if isinstance(value, Mapping):
                yield from leaves(value, f"{prefix}{key}.")
            else:
                yield present_name(f"{prefix}{key}"), value


def differing(before: Any, now: Any, keys: Iterable[Key]) -> list[str]:
    """Describe the keys whose values differ between two configurations.

    A key that a configuration lacks, for instance one from another version, has its default.

    Args:
        before, now: sections and keys as plain values.
        keys: keys to compare.

    Returns:
        list: one description per differing key, in the order of the keys.

    Examples:
        >>> keys = keys_that_change(Scope.STEPS, Command.TRAIN)
        >>> differing({"train": {"lr": 0.1}}, {"train": {"print_freq": 5}}, keys)
        ['train.lr 0.1, now 0.0003']
    """
    one, other = dict(leaves(before)), dict(leaves(now))
    return [
        f"{key.name} {shown(was)}, now {shown(is_)}"
        for key in keys
        if (was := one.get(key.name, key.default)) != (is_ := other.get(key.name, key.default))
    ]


def steps_differing(before: Any, now: Any) -> list[str]:
    """Describe the differences that affect the next training steps; see :func:`differing`."""
    keys = keys_that_change(Scope.STEPS, Command.TRAIN)
    if "cosine" in (dict(leaves(one)).get("train.lr_scheduler") for one in (before, now)):
        keys.append(KEYS["train.max_epoch"])  # the schedule spans the whole run
    return differing(before, now, keys)


def features_settings(config: Any) -> dict[str, Any]:
    """Return the settings that features depend on, by their names in a feature store.

    Args:
        config: sections and keys as plain values; a missing key has its default.

    Examples:
        >>> features_settings({"video": {"seq_len": 4}})["seq_len"]
        4
    """
    given = dict(leaves(config))
    return {
        key.short: given.get(key.name, key.default)
        for key in keys_that_change(Scope.FEATURES, Command.EXTRACT)
    }
