"""Occluders, which pass or stand between the camera and a person."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from nr3d.synthetic.body import body_parts
from nr3d.synthetic.cameras import FRAME_HEIGHT, FRAME_WIDTH
from nr3d.synthetic.fabric import Array
from nr3d.synthetic.gait import walk
from nr3d.synthetic.paint import Light, View, draw_parts
from nr3d.synthetic.people import Person

KINDS = ("person", "pole", "bush", "bin", "car")


@dataclass(frozen=True)
class Occluder:
    """An object or passer-by in front of a tracklet's person.

    Args:
        kind: kind of occluder, one of ``KINDS``.
        start: column of its centre in the first frame, in pixels of the stored frame.
        speed: speed in pixels per frame.
        size: scale factor.
        colour: colour, RGB in [0, 1].
        shape: seed of the shape, which is the same in all frames.
        person: the passer-by, if the kind is ``person``.
        yaw: direction in which the passer-by walks, in radians.
    """

    kind: str
    start: float
    speed: float
    size: float
    colour: tuple[float, float, float]
    shape: int
    person: Person | None = None
    yaw: float = 0.0


def sample_occluder(
    rng: np.random.Generator, frames: int, drift: float, passers_by: list[Person]
) -> Occluder:
    """Sample an occluder that crosses the person during part of a tracklet.

    Args:
        rng: random generator of the tracklet.
        frames: number of frames of the tracklet.
        drift: speed of the background in pixels per frame; standing objects move in the same
            direction.
        passers_by: people who may walk in front.
    """
    kind = KINDS[int(rng.choice(len(KINDS), p=(0.4, 0.15, 0.15, 0.15, 0.15)))]
    meets = rng.uniform(0.1, 0.9) * (frames - 1)
    # in sight for only a part of the tracklet, so that the other frames show the person
    crossing = max(2.0, frames * float(rng.uniform(0.35, 0.75)))
    heading = float(rng.choice([-1.0, 1.0]))
    if kind != "person" and abs(drift) > 2.0:
        heading = float(np.sign(drift))
    speed = heading * 1.3 * FRAME_WIDTH / crossing
    start = FRAME_WIDTH * float(rng.uniform(0.35, 0.65)) - speed * meets
    # street furniture and parked cars are duller than clothes
    colour = rng.uniform(0.15, 0.65) + rng.uniform(-0.1, 0.1, 3)
    if kind == "bush":
        colour = np.array([0.17, 0.36, 0.13]) * rng.uniform(0.7, 1.4)
    person = passers_by[int(rng.integers(len(passers_by)))] if kind == "person" else None
    return Occluder(
        kind,
        start,
        speed,
        float(rng.uniform(0.8, 1.1)),
        (float(colour[0]), float(colour[1]), float(colour[2])),
        int(rng.integers(2**31)),
        person,
        float(np.pi / 2 * np.sign(speed) + rng.uniform(-0.4, 0.4)),
    )


def _blob(field: Array, x: float, y: float, radius: float, value: float = 1.0) -> None:
    cv2.circle(field, (round(x), round(y)), max(1, round(radius)), value, -1, cv2.LINE_AA)


def _trapezium(
    field: Array, x: float, half: tuple[float, float], rows: tuple[float, float], value: float
) -> None:
    """Fill a trapezium between two rows, with the half-widths of its upper and lower edge."""
    (up, low), (y0, y1) = half, rows
    corners = np.array([[x - up, y0], [x + up, y0], [x + low, y1], [x - low, y1]])
    cv2.fillPoly(field, [np.round(corners * 16).astype(np.int32)], value, cv2.LINE_AA, 4)


def _bar(alpha: Array, x0: float, y0: float, x1: float, y1: float) -> None:
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    cv2.fillPoly(alpha, [np.round(corners * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)


def _shape(occluder: Occluder, x: float, alpha: Array, tone: Array) -> None:
    """Draw the outline of an object into ``alpha`` and its shading into ``tone``."""
    height, width = alpha.shape
    size = occluder.size * height / FRAME_HEIGHT
    rng = np.random.default_rng(occluder.shape)
    columns = (np.arange(width, dtype=np.float32) - np.float32(x)) / np.float32(30.0 * size)
    tone *= np.clip(1.05 - 0.35 * columns, 0.55, 1.3)[None, :]
    if occluder.kind == "pole":
        _bar(alpha, x - 9 * size, -4, x + 9 * size, height + 4)
    elif occluder.kind == "bin":
        _bar(alpha, x - 26 * size, height - 84 * size, x + 26 * size, height + 4)
        _bar(alpha, x - 30 * size, height - 92 * size, x + 30 * size, height - 83 * size)
    elif occluder.kind == "car":
        roof, belt = height - 84 * size, height - 50 * size
        _bar(alpha, x - 88 * size, belt, x + 88 * size, height + 4)
        _trapezium(alpha, x, (36 * size, 62 * size), (roof, belt + 1), 1.0)
        _trapezium(tone, x, (31 * size, 50 * size), (roof + 6 * size, belt - 3 * size), 0.3)
        for lamp in (-80.0, 80.0):
            _blob(tone, x + lamp * size, belt + 16 * size, 6 * size, 1.9)
    else:
        for _ in range(22):
            across, up = rng.normal(0.0, 20.0) * size, abs(rng.normal(0.0, 42.0)) * size
            _blob(alpha, x + across, height - up, rng.uniform(10.0, 20.0) * size)
        for _ in range(90):
            across, up = rng.normal(0.0, 28.0) * size, rng.uniform(0.0, 130.0) * size
            spot = (round(x + across), round(height - up))
            cv2.circle(tone, spot, int(rng.integers(2, 6)), float(rng.uniform(0.5, 1.6)), -1)


def draw_occluder(
    canvas: Array, occluder: Occluder, frame: int, view: View, light: Light, phase: float
) -> Array:
    """Blend an occluder into a frame.

    Args:
        canvas: frame in [0, 1], of shape (H, W, 3), changed in place.
        occluder: occluder to draw.
        frame: number of the frame in the tracklet, from 0.
        view: view of the occluded person.
        light: light of the scene.
        phase: gait phase of a passer-by.

    Returns:
        Array: opacity of the occluder, of shape (H, W).
    """
    height, width = canvas.shape[:2]
    alpha = np.zeros((height, width), np.float32)
    unit = height / FRAME_HEIGHT
    x = (occluder.start + occluder.speed * frame) * unit
    if not -0.8 * width < x < 1.8 * width:
        return alpha
    if occluder.person is not None:
        near = View(
            occluder.yaw, view.pitch, view.scale * occluder.size, x, view.ground + 26.0 * unit
        )
        parts = body_parts(occluder.person, walk(occluder.person, phase))
        draw_parts(canvas, alpha, parts, near, light)
        return alpha
    tone = np.ones((height, width), np.float32)
    _shape(occluder, x, alpha, tone)
    colour = tone[..., None] * np.asarray(occluder.colour, np.float32)
    canvas += alpha[..., None] * (colour - canvas)
    return alpha
