"""JSON files: read within bounds, and written so that any JSON reader accepts them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nr3d.errors import DataError, reason_of, shown
from nr3d.files.atomic import write_text
from nr3d.files.regular_files import read_whole


def read_json(path: Path, most: int) -> Any:
    """Read a JSON file of a dataset and refuse keys that are given twice.

    Args:
        path: the file, in UTF-8.
        most: greatest size of the file, in bytes.

    Raises:
        DataError: if the file cannot be read or is not such a file. The message says only what is
            wrong, without advice or a full stop.
    """
    data = read_whole(path, most)
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=unique_keys)
    # Deep nesting exceeds the recursion limit; numbers of many digits raise a ValueError.
    except (ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"{path} cannot be read as JSON ({reason_of(error)})") from error


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
    """Write plain values as JSON, atomically; a number that is not finite becomes null.

    Args:
        path: the file; missing folders are created.
        content: plain values: mappings, lists, strings, numbers, booleans and None.

    Raises:
        OutputError: if the file cannot be written.
    """
    write_text(path, json.dumps(finite(content), indent=2, allow_nan=False) + "\n")


def finite(content: Any) -> Any:
    """Return plain values with None in place of numbers that are not finite, which JSON lacks.

    Examples:
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
