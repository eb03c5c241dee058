"""Configurations by name or path, with changes on top; each error is one clear line."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from yacs.config import CfgNode

from nr3d.config.defaults import default_config
from nr3d.config.files import read_yaml
from nr3d.errors import ConfigError
from nr3d.home import expanded

_FOLDER = Path(__file__).parent

_ALSO_TEXT = {"model.pretrained"}
"""Keys that take a text beside the type of their default."""


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
        content: sections and keys, as :func:`nr3d.building.as_mapping` gives them; keys that are
            not there have their defaults.
        changes: as for :func:`load_config`.

    Raises:
        ConfigError: for an unknown key, or a value of another type.

    Examples::
        >>> config_of({"test": {"rerank": True}}, ["test.ranks", "[1]"]).test.ranks
        [1]
    """
    cfg = default_config()
    for key, value in _leaves(content):
        _set(cfg, key, value, "the stored configuration")
    return _changed(cfg, changes)


def _changed(cfg: CfgNode, changes: Sequence[str]) -> CfgNode:
    """Set keys and values in turn, and freeze."""
    if len(changes) % 2:
        raise ConfigError(
            f"KEY VALUE pairs expected after the options, got {len(changes)} words: "
            f"{' '.join(changes)!r}. The last key has no value."
        )
    for key, text in zip(changes[::2], changes[1::2], strict=True):
        _set(cfg, key, _parse(text), "the command line")
    cfg.freeze()
    return cfg


def _apply(cfg: CfgNode, path: Path, above: Sequence[Path]) -> None:
    """Set a file's keys on top of those of the configuration that it names as its ``base``."""
    if path in above:
        raise ConfigError(f"{path} is its own base: {' -> '.join(p.stem for p in [*above, path])}")
    content = read_yaml(path)
    base = content.pop("base", None)
    if base is not None:
        named = str(base) if str(base) in shipped_configs() else path.parent / str(base)
        _apply(cfg, _find(named), [*above, path])
    for key, value in _leaves(content):
        _set(cfg, key, value, str(path) if path.parent != _FOLDER else f"config {path.stem}")


def _find(name_or_path: str | Path) -> Path:
    if str(name_or_path) in shipped_configs():
        return _FOLDER / f"{name_or_path}.yaml"
    path = expanded(name_or_path, ConfigError)
    if path.is_file():
        return path
    raise ConfigError(
        f"No configuration {str(name_or_path)!r}: give one of {', '.join(shipped_configs())}, or "
        "the path of a YAML file."
    )


def _leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _parse(text: str) -> Any:
    """Read a value as Python writes it, else as YAML does, else as text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        pass
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return value if isinstance(value, bool | list) else text


def _set(cfg: CfgNode, key: str, value: Any, where: str) -> None:
    section, _, name = key.rpartition(".")
    node: Any = cfg
    for part in filter(None, section.split(".")):
        node = node.get(part) if isinstance(node, CfgNode) else None
    if not isinstance(node, CfgNode) or name not in node:
        known = [known for known, _ in _leaves(cfg)]
        close = difflib.get_close_matches(key, known, n=1) or [
            other for other in known if other.rpartition(".")[2] == name
        ]
        hint = f"Did you mean {close[0]}?" if close else f"Sections: {', '.join(cfg)}."
        raise ConfigError(f"Unknown key {key!r} in {where}. {hint}")
    if isinstance(node[name], CfgNode):
        raise ConfigError(f"{key!r} in {where} is a section, expected one of its keys")
    node[name] = _fit(key, value, node[name], where)


def _fit(key: str, value: Any, default: Any, where: str) -> Any:
    """Give the value in its default's type, or refuse it."""
    wanted = type(default)
    if type(value) is wanted and wanted is not list:
        return value
    if wanted is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return float(value)  # YAML reads 5e-4 as text
        except ValueError:
            pass
    if wanted is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)  # a folder named 2024
    if wanted is str and value is None:
        return "none"  # lr_scheduler: null
    if isinstance(value, str) and key in _ALSO_TEXT:
        return value
    if wanted is list:
        values = list(value) if isinstance(value, list | tuple) else [value]
        if values and all(isinstance(v, type(default[0])) for v in values):
            return values
        if isinstance(default[0], float) and all(type(v) in (int, float) for v in values):
            return [float(v) for v in values]
        if not values:
            return values
        expected = f"a list of {type(default[0]).__name__}"
    else:
        expected = wanted.__name__
    raise ConfigError(f"{key} in {where} is {value!r}, expected {expected} such as {default!r}")
