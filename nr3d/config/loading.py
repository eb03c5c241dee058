"""Configurations by name or path, with changes on top; each error is one clear line."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from nr3d.config.comparing import leaves
from nr3d.config.files import read_yaml
from nr3d.config.keys import KEYS, default_config
from nr3d.config.values import LONGEST_TEXT, MisfitError
from nr3d.errors import ConfigError, shown
from nr3d.files.home import expanded

_FOLDER = Path(__file__).parent

_LONGEST_CHAIN = 10
"""Configurations that may build on each other."""


def shipped_configs() -> list[str]:
    """Names of the configurations in the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_config(name_or_path: str | Path, changes: Sequence[str] = ()) -> CfgNode:
    """Load a configuration and change it.

    Args:
        name_or_path: a shipped name (see :func:`shipped_configs`), or a YAML file, whose ``base``
            names another (from its own folder) to start from.
        changes: keys and values in turn, as on the command line:
            ``["train.lr", "1e-4", "data.sources", "[mars, ilidsvid]"]``.

    Returns:
        CfgNode: complete and frozen.

    Raises:
        ConfigError: for an unknown name or key, a missing or malformed file, or a value of another
            type; the message says what there is.

    Examples::
        >>> load_config("mars", ["train.max_epoch", "5"]).train.max_epoch
        5
    """
    cfg = default_config()
    _apply(cfg, _find(name_or_path), ())
    return _changed(cfg, changes)


def config_of(content: Mapping[str, Any], changes: Sequence[str] = ()) -> CfgNode:
    """Make a configuration of the plain values of one, and change it.

    Args:
        content: sections and keys, as :func:`nr3d.runs.configuration.as_mapping` gives them; keys
            that are not there have their defaults.
        changes: as for :func:`load_config`.

    Raises:
        ConfigError: for an unknown key, or a value of another type.

    Examples::
        >>> config_of({"test": {"rerank": True}}, ["test.ranks", "[1]"]).test.ranks
        [1]
    """
    if not isinstance(content, Mapping):
        raise ConfigError(f"the stored configuration is {shown(content)}, expected sections")
    cfg = default_config()
    for key, value in leaves(content):
        _set(cfg, key, value, "the stored configuration")
    return _changed(cfg, changes)


def _changed(cfg: CfgNode, changes: Sequence[str]) -> CfgNode:
    """Set keys and values in turn, and freeze."""
    if len(changes) % 2:
        raise ConfigError(
            f"KEY VALUE pairs expected after the options, got {len(changes)} words: "
            f"{shown(' '.join(changes), 300)}. The last key has no value."
        )
    for name, text in zip(changes[::2], changes[1::2], strict=True):
        where = "the command line"
        if len(text) > LONGEST_TEXT:
            raise ConfigError(
                f"{shown(name)} in {where} has a value of {len(text)} characters, expected at most "
                f"{LONGEST_TEXT}"
            )
        _set(cfg, name, KEYS[name].kind.parse(text) if name in KEYS else text, where)
    cfg.freeze()
    return cfg


def _apply(cfg: CfgNode, path: Path, above: Sequence[Path]) -> None:
    """Set a file's keys on top of those of the configuration that it names as its ``base``."""
    chain = [*above, path.resolve()]
    if chain[-1] in above or len(chain) > _LONGEST_CHAIN:
        raise ConfigError(
            f"{path} is its own base, or the last of too many: "
            f"{' -> '.join(each.stem for each in chain)}"
        )
    content = read_yaml(path)
    base = content.pop("base", None)
    if base is not None:
        named = str(base) if str(base) in shipped_configs() else path.parent / str(base)
        _apply(cfg, _find(named), chain)
    where = str(path) if path.parent != _FOLDER else f"config {path.stem}"
    said: set[str] = set()
    for key, value in leaves(content):
        if key in said:
            raise ConfigError(f"{shown(key)} stands twice in {where}: keep one of the two")
        said.add(key)
        _set(cfg, key, value, where)


def _find(name_or_path: str | Path) -> Path:
    if str(name_or_path) in shipped_configs():
        return _FOLDER / f"{name_or_path}.yaml"
    path = expanded(name_or_path, ConfigError)
    try:
        if path.is_file():
            return path
    except OSError:
        pass  # a name too long
    raise ConfigError(
        f"No configuration {shown(str(name_or_path), 500)}: give one of "
        f"{', '.join(shipped_configs())}, or the path of a YAML file."
    )


def _set(cfg: CfgNode, name: str, value: Any, where: str) -> None:
    key = KEYS.get(name)
    if key is None:
        if any(known.startswith(f"{name}.") for known in KEYS):
            raise ConfigError(f"{shown(name)} in {where} is a section, expected one of its keys")
        close = difflib.get_close_matches(name[:100], KEYS, n=1) or [
            other for other in KEYS if other.rpartition(".")[2] == name.rpartition(".")[2]
        ]
        hint = f"Did you mean {close[0]}?" if close else f"Sections: {', '.join(cfg)}."
        raise ConfigError(f"Unknown key {shown(name)} in {where}. {hint}")
    *sections, last = name.split(".")
    node = cfg
    for section in sections:
        node = node[section]
    try:
        node[last] = key.kind.take(value)
    except MisfitError:
        raise ConfigError(
            f"{name} in {where} is {shown(value)}, expected {key.kind.word} such as "
            f"{shown(node[last])}"
        ) from None
