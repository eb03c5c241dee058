"""Checks of a configuration's values, and of the keys given to a command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nr3d.config.comparing import leaves
from nr3d.config.keys import KEYS, present_name
from nr3d.config.scopes import Command, Key
from nr3d.config.values import MisfitError
from nr3d.errors import ConfigError, shown


def check_values(config: Mapping[str, Any], keys: Iterable[Key] = KEYS.values()) -> None:
    """Raise an error for the first value that its key does not accept.

    Args:
        config: sections and keys as plain values.
        keys: keys to check. Default is all.

    Raises:
        ConfigError: if a value is invalid; the message names the key, its value and what is
            expected.
    """
    given = dict(leaves(config))
    for key in keys:
        if key.name not in given:
            raise ConfigError(f"{key.name} is missing, expected such as {key.default!r}")
        value = given[key.name]
        try:
            wanted = key.kind.expected(key.kind.take(value))
        except MisfitError:
            wanted = f"{key.kind.word} such as {key.default!r}"
        if wanted is not None:
            raise ConfigError(f"{key.name} is {shown(value)}, expected {wanted}")


def refuse_unused(changes: Sequence[str], command: Command) -> None:
    """Raise an error for a key on the command line that the command would ignore.

    Args:
        changes: alternating keys and values.
        command: command that was called.

    Raises:
        ConfigError: if the command does not use a key; the message names the first such key and
            the commands that use it.
    """
    for name in changes[::2]:
        key = KEYS.get(present_name(name))
        if key is not None and not key.commands & command:
            raise ConfigError(
                f"{command} does not use {name} ({key.about}), which {key.commands} would: leave "
                "it out."
            )
