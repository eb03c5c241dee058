"""Scenes: what a camera sees behind the people."""

from __future__ import annotations

import cv2
import numpy as np

from nr3d.synthetic.fabric import BLOTCHES, FOLDS, Array

SCENE_HEIGHT = 288
SCENE_WIDTH = 512

SCENES = ("shops", "lawn", "plaza", "hall", "crossing", "parking")


def _grid(coordinate: Array, period: float, line: float) -> Array:
    """Return 1 on the joints of a paving and 0 on its stones."""
    joints: Array = (np.abs((coordinate / period) % 1.0 - 0.5) > 0.5 - 0.5 * line / period).astype(
        np.float32
    )
    return joints


def _colour(rng: np.random.Generator, low: float, high: float, tint: float) -> np.ndarray:
    return np.clip(rng.uniform(low, high) + rng.uniform(-tint, tint, 3), 0.02, 0.98)


def _ground(scene: Array, rng: np.random.Generator, horizon: int, kind: str) -> None:
    """Paint the ground below the horizon in perspective."""
    rows = np.arange(horizon, SCENE_HEIGHT, dtype=np.float32)[:, None]
    columns = np.arange(SCENE_WIDTH, dtype=np.float32)[None, :] - 0.5 * SCENE_WIDTH
    closeness = (rows - horizon + 14.0) / SCENE_HEIGHT
    x = 0.011 * columns / closeness
    z = np.broadcast_to(2.2 / closeness, x.shape)
    base = _colour(rng, 0.3, 0.62, 0.08)
    if kind == "lawn":
        base = np.array([0.25, 0.42, 0.16]) * rng.uniform(0.8, 1.3)
    grain = FOLDS[(z * 37).astype(int) & 127, (x * 23).astype(int) & 127]
    stain = BLOTCHES[(z * 5).astype(int) & 127, (x * 4).astype(int) & 127]
    share = 1.0 + (0.22 if kind == "lawn" else 0.07) * grain + 0.10 * stain
    ground = base * share[..., None]
    if kind in ("shops", "plaza", "hall"):
        size = rng.uniform(0.7, 1.6)
        joints = np.maximum(_grid(x, size, 0.07), _grid(z, size * rng.uniform(1.0, 2.0), 0.10))
        checker = ((np.floor(x / size) + np.floor(z / size)) % 2) * rng.choice([0.0, 0.25])
        ground *= (1.0 - 0.3 * joints - checker)[..., None]
    elif kind == "crossing":
        bars = ((x / rng.uniform(1.0, 1.5)) % 1.0 < 0.5) & (z > 2.6) & (z < 9.0)
        ground = np.where(bars[..., None], 0.85 * share[..., None], 0.6 * ground)
    elif kind == "parking":
        slot = rng.uniform(1.7, 2.4)
        lines = (_grid(x + 0.25 * z, slot, 0.14) > 0) & (z > 3.0)
        ground = np.where(lines[..., None], np.array([0.85, 0.8, 0.6]), 0.75 * ground)
    elif kind == "lawn":
        path = np.abs(x + 0.35 * z - rng.uniform(-1.0, 3.0)) < 1.1
        ground = np.where(path[..., None], np.array([0.66, 0.6, 0.5]) * share[..., None], ground)
    scene[horizon:] = ground


def _box(scene: Array, x: float, y: float, w: float, h: float, colour: np.ndarray) -> None:
    x0, y0 = max(0, int(x)), max(0, int(y))
    scene[y0 : max(0, int(y + h)), x0 : max(0, int(x + w))] = colour


def _bricks(scene: Array, rng: np.random.Generator, top: int, bottom: int) -> None:
    base = _colour(rng, 0.3, 0.7, 0.04) * np.array([1.15, 0.95, 0.85])
    height, width = int(rng.integers(8, 14)), int(rng.integers(18, 30))
    for row, y in enumerate(range(top, bottom, height)):
        for x in range(-width if row % 2 else -width // 2, SCENE_WIDTH, width):
            tone = base * rng.uniform(0.86, 1.12)
            _box(scene, x + 1, y + 1, width - 1, min(height, bottom - y) - 1, tone)


def _windows(scene: Array, rng: np.random.Generator, top: int, bottom: int, shop: bool) -> None:
    """Draw a row of shop windows with goods, or of plain windows."""
    x = float(rng.integers(-30, 10))
    while x < SCENE_WIDTH:
        width = float(rng.integers(60, 110) if shop else rng.integers(26, 44))
        sill = bottom - (8 if shop else int(0.35 * (bottom - top)))
        frame = _colour(rng, 0.1, 0.8, 0.1)
        _box(scene, x, top + 8, width, sill - top - 8, frame)
        glass = _colour(rng, 0.15, 0.75, 0.12)
        _box(scene, x + 4, top + 12, width - 8, sill - top - 16, glass)
        if shop:
            for _ in range(int(rng.integers(3, 8))):
                w, h = rng.uniform(6, 22), rng.uniform(8, 40)
                goods = rng.uniform(0.05, 0.95, 3)
                _box(
                    scene,
                    x + 5 + rng.uniform(0, max(1.0, width - w - 10)),
                    sill - 5 - h,
                    w,
                    h,
                    goods,
                )
            _box(scene, x - 4, top, width + 8, 14, rng.uniform(0.1, 0.9, 3))
        x += width + float(rng.integers(6, 30))


def _trees(scene: Array, rng: np.random.Generator, horizon: int) -> None:
    for _ in range(int(rng.integers(5, 9))):
        x = int(rng.integers(0, SCENE_WIDTH))
        trunk = _colour(rng, 0.18, 0.35, 0.04) * np.array([1.1, 0.95, 0.8])
        _box(scene, x - 5, horizon - 80, rng.uniform(7, 14), 86, trunk)
        for _ in range(26):
            leaf = np.array([0.16, 0.36, 0.12]) * rng.uniform(0.6, 1.8)
            centre = (x + int(rng.normal(0, 26)), horizon - 95 + int(rng.normal(0, 26)))
            cv2.circle(scene, centre, int(rng.integers(6, 17)), leaf.tolist(), -1, cv2.LINE_AA)


def _cars(scene: Array, rng: np.random.Generator, horizon: int) -> None:
    x = float(rng.integers(-60, 0))
    while x < SCENE_WIDTH:
        paint = rng.uniform(0.08, 0.9, 3)
        length = float(rng.integers(100, 140))
        low = horizon + 16
        cabin = np.array(
            [
                [x + 20, low - 26],
                [x + 34, low - 46],
                [x + length - 36, low - 46],
                [x + length - 18, low - 26],
            ]
        )
        cv2.fillPoly(scene, [cabin.astype(np.int32)], (0.12, 0.15, 0.18), cv2.LINE_AA)
        _box(scene, x, low - 28, length, 22, paint)
        for wheel in (0.22, 0.78):
            cv2.circle(
                scene, (int(x + wheel * length), low - 5), 10, (0.05, 0.05, 0.05), -1, cv2.LINE_AA
            )
        x += length + float(rng.integers(12, 90))


def draw_scene(rng: np.random.Generator, kind: str, horizon: int) -> Array:
    """Draw the panorama from which a camera crops its backgrounds.

    Args:
        rng: random generator of the camera.
        kind: kind of scene, one of ``SCENES``.
        horizon: row where the ground ends, in pixels.

    Returns:
        Array: RGB image in [0, 1], of shape (``SCENE_HEIGHT``, ``SCENE_WIDTH``, 3).
    """
    scene = np.zeros((SCENE_HEIGHT, SCENE_WIDTH, 3), np.float32)
    sky = np.linspace(0.95, 0.7, SCENE_HEIGHT)[:, None] * np.array([0.85, 0.93, 1.0])
    scene[:] = _colour(rng, 0.45, 0.8, 0.1) if kind == "hall" else sky[:, None]
    horizon = int(np.clip(horizon, 4, SCENE_HEIGHT - 60))
    if kind in ("shops", "plaza"):
        _bricks(scene, rng, 0, horizon)
        _windows(scene, rng, max(0, horizon - 105), horizon, kind == "shops")
    elif kind == "hall":
        for x in range(int(rng.integers(0, 50)), SCENE_WIDTH, int(rng.integers(80, 120))):
            _box(scene, x, 0, 26, horizon, _colour(rng, 0.2, 0.8, 0.1))
            _box(scene, x + 4, 0, 5, horizon, np.array([0.9, 0.9, 0.9]))
        _box(scene, 0, horizon - 12, SCENE_WIDTH, 12, _colour(rng, 0.1, 0.4, 0.08))
    elif kind == "lawn":
        _box(scene, 0, horizon - 34, SCENE_WIDTH, 34, np.array([0.2, 0.3, 0.16]))
        _trees(scene, rng, horizon)
    else:
        _bricks(scene, rng, 0, horizon)
        _windows(scene, rng, max(0, horizon - 90), horizon, False)
    _ground(scene, rng, horizon, kind)
    if kind in ("parking", "crossing"):
        _cars(scene, rng, horizon)
    # the street is greyer than the clothes of those who walk in it
    grey = scene.mean(axis=2, keepdims=True)
    scene = (0.4 * (0.6 * scene + 0.4 * grey) + 0.6 * 0.46).astype(np.float32)
    blurred: Array = cv2.GaussianBlur(scene, (0, 0), float(rng.uniform(0.9, 1.8)))
    return blurred
