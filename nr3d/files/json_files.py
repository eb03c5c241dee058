"""Files of plain values that any JSON reader takes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nr3d.errors import shown
from nr3d.files.atomic import replacing


def finite(content: Any) -> Any:
    """Return plain values with None for each number that is not finite, which JSON cannot hold.

    Examples::
        >>> finite({"loss": float("nan"), "terms": [1.5, float("inf")]})
        {'loss': None, 'terms': [1.5, None]}
    """
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return content


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object from its pairs; the parser alone would silently keep the last of two.

    Args:
        pairs: keys and values, as ``object_pairs_hook`` of :func:`json.loads` receives them.

    Raises:
        ValueError: if a key is given twice.
    """
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {shown(twice)} is given twice")
    return made


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write plain values whole or not at all; a number that is not finite becomes null.

    Raises:
        OutputError: if the file cannot be written.
    """
    with replacing(path) as partial:
        text = json.dumps(finite(content), indent=2, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8")
