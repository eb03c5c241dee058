"""Loading of configurations by name or path, with changes; each error is one clear line."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from nr3d.config.comparing import leaves
from nr3d.config.files import read_yaml
from nr3d.config.keys import KEYS, default_config, present_name
from nr3d.config.values import LONGEST_TEXT, MisfitError
from nr3d.errors import ConfigError, shown
from nr3d.files.home import expanded

_FOLDER = Path(__file__).parent

_LONGEST_CHAIN = 10
"""Maximum number of configurations that build on each other."""


def shipped_configs() -> list[str]:
    """Return the names of the shipped configurations."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_config(name_or_path: str | Path, changes: Sequence[str] = ()) -> CfgNode:
    """Load a configuration and apply changes.

    Args:
        name_or_path: a shipped name (see :func:`shipped_configs`) or a YAML file. Its ``base`` may
            name another configuration to start from, relative to its own folder.
        changes: alternating keys and values, as on the command line:
            ``["train.lr", "1e-4", "data.sources", "[mars, ilidsvid]"]``.

    Returns:
        CfgNode: the complete, frozen configuration.

    Raises:
        ConfigError: if a name or key is unknown, a file is missing or malformed, or a value has the
            wrong type for its key; the message states what is expected.

    Examples:
        >>> load_config("mars", ["train.max_epoch", "5"]).train.max_epoch
        5
    """
    cfg = default_config()
    _apply(cfg, _find(name_or_path), ())
    return _changed(cfg, changes)


def config_of(content: Mapping[str, Any], changes: Sequence[str] = ()) -> CfgNode:
    """Build a configuration from plain values, and apply changes.

    Args:
        content: sections and keys, as returned by :func:`as_mapping`; missing keys have their
            defaults.
        changes: alternating keys and values; see :func:`load_config`.

    Returns:
        CfgNode: the complete, frozen configuration.

    Raises:
        ConfigError: if a key is unknown, or a value has the wrong type for its key.

    Examples:
        >>> config_of({"test": {"rerank": True}}, ["test.ranks", "[1]"]).test.ranks
        [1]
    """
    if not isinstance(content, Mapping):
        raise ConfigError(f"the stored configuration is {shown(content)}, expected sections")
    cfg = default_config()
    for key, value in leaves(content):
        _set(cfg, key, value, "the stored configuration")
    return _changed(cfg, changes)


def as_mapping(cfg: CfgNode) -> dict[str, Any]:
    """Return the sections and keys of a configuration as nested dicts of plain values.

    Examples:
        >>> as_mapping(load_config("mars"))["video"]["seq_len"]
        4
    """
    return {
        key: as_mapping(value) if isinstance(value, CfgNode) else value
        for key, value in cfg.items()
    }


def suggestion(name: str) -> str:
    """Return a sentence that suggests a key for an unknown name, or lists the sections.

    Examples:
        >>> suggestion("train.lrr")
        'Did you mean train.lr?'
    """
    close = difflib.get_close_matches(name[:100], KEYS, n=1) or [
        other for other in KEYS if other.rpartition(".")[2] == name.rpartition(".")[2]
    ]
    if close:
        return f"Did you mean {close[0]}?"
    sections = dict.fromkeys(key.partition(".")[0] for key in KEYS)
    return f"Sections: {', '.join(sections)}."


def _changed(cfg: CfgNode, changes: Sequence[str]) -> CfgNode:
    """Apply alternating keys and values, and freeze the configuration."""
    if len(changes) % 2:
        raise ConfigError(
            f"KEY VALUE pairs expected after the options, got {len(changes)} words: "
            f"{shown(' '.join(changes), 300)}. The last key has no value."
        )
    for given, text in zip(changes[::2], changes[1::2], strict=True):
        name = present_name(given)
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
    """Apply the keys of a file, after those of its ``base``."""
    chain = [*above, path.resolve()]
    if chain[-1] in above or len(chain) > _LONGEST_CHAIN:
        raise ConfigError(
            f"{path} is its own base, or one of too many: "
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
        pass  # the name is too long
    raise ConfigError(
        f"No configuration {shown(str(name_or_path), 500)}: give one of "
        f"{', '.join(shipped_configs())}, or the path of a YAML file."
    )


def _set(cfg: CfgNode, name: str, value: Any, where: str) -> None:
    key = KEYS.get(name)
    if key is None:
        if any(known.startswith(f"{name}.") for known in KEYS):
            raise ConfigError(f"{shown(name)} in {where} is a section, expected one of its keys")
        raise ConfigError(f"Unknown key {shown(name)} in {where}. {suggestion(name)}")
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
