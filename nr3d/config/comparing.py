"""What differs between two configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = ""
) -> list[tuple[str, Any, Any]]:
    """List the keys whose values differ, sections flattened; those only one of them has are not.

    Args:
        before, now: sections and keys as plain values.
        prefix: of the keys in the list.

    Returns:
        list: (key, value before, value now), by key.

    Examples::
        >>> differences({"train": {"lr": 1, "seed": 0}}, {"train": {"lr": 2, "seed": 0}})
        [('train.lr', 1, 2)]
    """
    found: list[tuple[str, Any, Any]] = []
    for key in before.keys() & now.keys():
        one, other = before[key], now[key]
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += differences(one, other, f"{prefix}{key}.")
        elif one != other:
            found.append((f"{prefix}{key}", one, other))
    return sorted(found)
