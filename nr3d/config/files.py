"""YAML files: read within bounds and with one clear error, written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from nr3d.config.guarded_yaml import load_yaml
from nr3d.errors import ConfigError, reason_of
from nr3d.files.atomic import replacing

MOST_BYTES = 1 << 20
"""Most bytes of a YAML file."""


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of names and values; an empty file is an empty dict.

    Raises:
        ConfigError: if the file cannot be read, is not YAML, is larger than any file of names and
            values should be, or holds something else; the message names the file.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read ({reason_of(error)})") from error
    if len(data) > MOST_BYTES:
        raise ConfigError(
            f"{path} has more than {MOST_BYTES:,} bytes, expected a YAML file of names and values"
        )
    try:
        content = load_yaml(data.decode("utf-8"))
    # Tags stand for types, whose constructors raise what they like.
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise ConfigError(f"{path} is not YAML: {reason_of(error)}") from error
    if not isinstance(content, dict | None):
        raise ConfigError(f"{path} holds a {type(content).__name__}, expected names with values")
    return content or {}


def yaml_text(content: Mapping[str, Any], *, ascii_only: bool = False) -> str:
    """Return plain values as YAML, in their order.

    Args:
        content: the values by name.
        ascii_only: whether to escape every other character, so that any terminal and encoding
            passes the text on unchanged.
    """
    text: str = yaml.safe_dump(
        dict(content), sort_keys=False, allow_unicode=not ascii_only, width=100
    )
    return text


def write_text(path: str | Path, text: str) -> None:
    """Write a text file whole or not at all.

    Raises:
        OutputError: if the file cannot be written; it is then as it was before.
    """
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
