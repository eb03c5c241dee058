"""YAML files, read with one clear error and written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from nr3d.atomic import replacing
from nr3d.errors import ConfigError


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of names and values; an empty one gives an empty dict.

    Raises:
        ConfigError: if it is not YAML, or holds something else; the message names the file.
        OSError: if it cannot be read.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict | None):
        raise ConfigError(f"{path} holds a {type(content).__name__}, expected names with values")
    return content or {}


def yaml_text(content: Mapping[str, Any]) -> str:
    """Give plain values as YAML, in their order."""
    text: str = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=100)
    return text


def write_text(path: str | Path, text: str) -> None:
    """Write a text file whole or not at all.

    Raises:
        OutputError: if the folder cannot be written; ``path`` is then as before.
    """
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
