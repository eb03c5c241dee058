"""Colours and cloth patterns of the synthetic people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# single precision throughout; the type is wider because NumPy types arithmetic so
Array = NDArray[np.floating[Any]]
RGB = tuple[float, float, float]

PALETTE: dict[str, RGB] = {
    "black": (0.07, 0.07, 0.08),
    "charcoal": (0.23, 0.24, 0.26),
    "grey": (0.52, 0.53, 0.54),
    "white": (0.93, 0.93, 0.92),
    "navy": (0.09, 0.13, 0.36),
    "blue": (0.13, 0.33, 0.80),
    "denim": (0.27, 0.38, 0.60),
    "sky": (0.50, 0.73, 0.93),
    "teal": (0.05, 0.52, 0.50),
    "green": (0.13, 0.56, 0.22),
    "olive": (0.37, 0.40, 0.16),
    "lime": (0.62, 0.82, 0.22),
    "yellow": (0.94, 0.82, 0.16),
    "orange": (0.93, 0.48, 0.10),
    "red": (0.82, 0.10, 0.12),
    "maroon": (0.43, 0.06, 0.15),
    "pink": (0.94, 0.56, 0.70),
    "magenta": (0.80, 0.14, 0.52),
    "purple": (0.44, 0.20, 0.62),
    "brown": (0.39, 0.23, 0.12),
    "beige": (0.80, 0.70, 0.52),
}

PATTERNS = ("plain", "hoops", "stripes", "checks", "dots", "block", "panel", "camo")


def _smooth_noise(size: int, cells: int, seed: int) -> Array:
    """Return a tileable noise field in [-1, 1], which is the same for all datasets."""
    coarse = np.random.default_rng(seed).uniform(-1.0, 1.0, (cells, cells))
    at = np.arange(size) * cells / size
    low = np.floor(at).astype(int)
    part = at - low
    ease = part * part * (3.0 - 2.0 * part)
    high = (low + 1) % cells
    rows = coarse[low] * (1.0 - ease)[:, None] + coarse[high] * ease[:, None]
    field = rows[:, low] * (1.0 - ease) + rows[:, high] * ease
    smooth: Array = field.astype(np.float32)
    return smooth


FOLDS: Array = 0.65 * _smooth_noise(128, 16, 11) + 0.35 * _smooth_noise(128, 40, 12)
BLOTCHES: Array = 0.7 * _smooth_noise(128, 14, 13) + 0.3 * _smooth_noise(128, 28, 14)


def noise_at(tile: Array, x: Array, y: Array, per_metre: float) -> Array:
    """Look up a tileable noise field at metric coordinates.

    Args:
        tile: square noise field whose side is a power of two.
        x: horizontal coordinates, in metres.
        y: vertical coordinates, in metres.
        per_metre: noise samples per metre.
    """
    last = tile.shape[0] - 1
    column = (x * per_metre).astype(np.int32) & last
    row = (y * per_metre).astype(np.int32) & last
    looked_up: Array = tile[row, column]
    return looked_up


def _bands(coordinate: Array, period: float, duty: float = 0.5) -> Array:
    """Return a square wave in [0, 1] whose soft edges keep stripes from aliasing at 128 pixels."""
    distance = np.abs((coordinate / period) % 1.0 - 0.5)
    soft: Array = np.clip((0.5 * duty - distance) * period / 0.012 + 0.5, 0.0, 1.0)
    return soft


@dataclass(frozen=True)
class Fabric:
    """Cloth of a garment: two colours in a pattern.

    Args:
        pattern: name of the pattern, one of ``PATTERNS``.
        base: colour of most of the cloth, RGB in [0, 1].
        accent: second colour, RGB in [0, 1]; unused by ``plain``.
        period: repeat length of the pattern, in metres.
        split: lower end of the second colour of ``block``, in metres from the garment's top.
    """

    pattern: str
    base: RGB
    accent: RGB
    period: float
    split: float = 0.22

    def mix(self, azimuth: Array, arc: Array, along: Array) -> Array | None:
        """Return the share of the accent colour at each point; None for plain cloth.

        Args:
            azimuth: angle about the limb's axis, in radians; 0 is the person's front.
            arc: the same angle as a length on the surface, in metres.
            along: distance down the garment, in metres.
        """
        if self.pattern == "hoops":
            return _bands(along, self.period)
        if self.pattern == "stripes":
            return _bands(arc, self.period, 0.4)
        if self.pattern == "checks":
            across = _bands(arc, self.period)
            down = _bands(along, self.period)
            grid: Array = 0.5 * (across + down)
            return grid
        if self.pattern == "dots":
            row = np.floor(along / self.period)
            x = (arc / self.period + 0.5 * (row % 2)) % 1.0 - 0.5
            y = (along / self.period) % 1.0 - 0.5
            dots: Array = np.clip((0.33 - np.hypot(x, y)) * self.period / 0.012 + 0.5, 0.0, 1.0)
            return dots
        if self.pattern == "block":
            block: Array = np.clip((self.split - along) / 0.012 + 0.5, 0.0, 1.0)
            return block
        if self.pattern == "panel":
            panel: Array = np.clip((np.abs(np.sin(azimuth)) - 0.62) / 0.08 + 0.5, 0.0, 1.0)
            return panel
        if self.pattern == "camo":
            camo: Array = np.clip(noise_at(BLOTCHES, arc, along, 42.0) * 6.0 + 0.3, 0.0, 1.0)
            return camo
        return None

    def paint(self, azimuth: Array, arc: Array, along: Array) -> Array:
        """Return the colour at each point, of shape (H, W, 3); arguments as for :meth:`mix`."""
        base = np.asarray(self.base, np.float32)
        share = self.mix(azimuth, arc, along)
        if share is None:
            return np.broadcast_to(base, (*azimuth.shape, 3)).astype(np.float32)
        step = np.asarray(self.accent, np.float32) - base
        painted: Array = base + share[..., None].astype(np.float32) * step
        return painted
