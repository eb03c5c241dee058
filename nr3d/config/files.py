"""YAML files: bounded reading with one clear error, and writing as text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from nr3d.config.guarded_yaml import load_yaml
from nr3d.errors import ConfigError, reason_of

MOST_BYTES = 1 << 20
"""Maximum size of a YAML file, in bytes."""


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of names and values; an empty file becomes an empty dict.

    Raises:
        ConfigError: if the file cannot be read, is not YAML, is too large, or holds something other
            than names with values; the message names the file.
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
    # Tags name types, whose constructors may raise any of these.
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise ConfigError(f"{path} is not YAML: {reason_of(error)}") from error
    if not isinstance(content, dict | None):
        raise ConfigError(f"{path} holds a {type(content).__name__}, expected names with values")
    return content or {}


def yaml_text(content: Mapping[str, Any], *, ascii_only: bool = False) -> str:
    """Return plain values as YAML, in their own order.

    Args:
        content: values by name.
        ascii_only: whether to escape all other characters, so that the text survives any terminal
            and encoding.
    """
    text: str = yaml.safe_dump(
        dict(content), sort_keys=False, allow_unicode=not ascii_only, width=100
    )
    return text
