"""Checks of a synthetic dataset's settings."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from nr3d.errors import ConfigError


def check_whole(name: str, value: int, low: int, high: int) -> None:
    """Check that a setting is a whole number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ConfigError(f"{name} must be a whole number, got {value!r}")
    _check_range(name, value, low, high)


def check_number(name: str, value: float, low: float, high: float) -> None:
    """Check that a setting is a number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise ConfigError(f"{name} must be a number, got {value!r}")
    _check_range(name, float(value), low, high)


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Check that a setting is one of some words."""
    known = list(choices)
    if value not in known:
        raise ConfigError(
            f"{name} is {value!r}, expected {' or '.join(known)}; choose another value for {name}"
        )


def _check_range(name: str, value: float, low: float, high: float) -> None:
    # written so that NaN, which compares false, is out of range
    if not low <= value <= high:
        raise ConfigError(
            f"{name} is {value}, expected {low} to {high}; choose another value for {name}"
        )
