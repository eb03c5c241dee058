"""The table of configuration keys."""

from __future__ import annotations

from yacs.config import CfgNode

from nr3d.config.scopes import Command, Key, Scope
from nr3d.config.sections import data, model, not3d, testing, training

KEYS: dict[str, Key] = {
    key.name: key for section in (model, data, training, testing, not3d) for key in section.KEYS
}
"""All keys by name, in the order of the table."""


def keys_that_change(scope: Scope, command: Command) -> list[Key]:
    """Return the keys that a command uses and that affect a scope.

    Examples:
        >>> [key.name for key in keys_that_change(Scope.STEPS, Command.TEST)][:2]
        ['model.name', 'data.sources']
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
