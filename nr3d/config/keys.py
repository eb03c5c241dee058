"""The table of configuration keys."""

from __future__ import annotations

from yacs.config import CfgNode

from nr3d.config.scopes import Command, Key, Scope
from nr3d.config.sections import data, model, not3d, testing, training

KEYS: dict[str, Key] = {
    key.name: key for section in (model, data, training, testing, not3d) for key in section.KEYS
}
"""All keys by name, in the order of the table."""

_FORMER_NAMES = {"not3d.aggregation": "model.aggregation"}
"""Present names of keys by their names in earlier configurations, which may still use them."""


def present_name(name: str) -> str:
    """Return the name of a key from the one that earlier configurations may have for it.

    Examples:
        >>> present_name("not3d.aggregation"), present_name("train.lr")
        ('model.aggregation', 'train.lr')
    """
    return _FORMER_NAMES.get(name, name)


def keys_that_change(scope: Scope, command: Command) -> list[Key]:
    """Return the keys that a command uses and that affect a scope.

    Examples:
        >>> [key.name for key in keys_that_change(Scope.STEPS, Command.TEST)][:2]
        ['model.name', 'model.aggregation']
    """
    return [key for key in KEYS.values() if key.scope & scope and key.commands & command]


def default_config() -> CfgNode:
    """Return a new configuration with the default value of every key."""
    cfg = CfgNode()
    for key in KEYS.values():
        *sections, name = key.name.split(".")
        node = cfg
        for section in sections:
            node = node.setdefault(section, CfgNode())
        node[name] = list(key.default) if isinstance(key.default, list) else key.default
    return cfg
