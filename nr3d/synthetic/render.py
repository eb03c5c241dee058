"""Filming of one tracklet: a person, a camera and what happens between them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from nr3d.synthetic.body import body_parts, foot_points
from nr3d.synthetic.cameras import FRAME_HEIGHT, Camera, expose
from nr3d.synthetic.fabric import Array
from nr3d.synthetic.gait import Pose, walk
from nr3d.synthetic.occluders import draw_occluder, sample_occluder
from nr3d.synthetic.paint import Light, Part, View, draw_parts
from nr3d.synthetic.people import Person
from nr3d.synthetic.troubles import LEAST_COVER, Trouble
from nr3d.synthetic.truth import FrameTruth


@dataclass(frozen=True)
class Frame:
    """A frame of a tracklet.

    Args:
        image: RGB image, uint8, of shape (256, 128, 3), before compression.
        truth: hidden fraction of the person's pixels, and what hides them.
    """

    image: np.ndarray
    truth: FrameTruth


def _shadow(canvas: Array, pose: Pose, view: View, light: Light) -> None:
    """Draw the shadow: a spot under each foot, and a soft pool away from the light."""
    shade: Array = np.zeros(canvas.shape[:2], np.float32)
    for foot in foot_points(pose):
        on_ground = foot * np.array([1.0, 0.0, 1.0])
        x, y, _ = view.project(on_ground)
        lift = max(0.0, float(foot[1]) - 0.05)
        axes = (round(0.13 * view.scale), max(2, round(0.035 * view.scale)))
        cv2.ellipse(shade, (round(x), round(y)), axes, 0, 0, 360, max(0.1, 0.55 - 2.0 * lift), -1)
    pool = (round(view.x - 0.35 * light.x * view.scale), round(view.ground))
    wide = (round(0.42 * view.scale), max(2, round((0.05 + 0.2 * view.pitch) * view.scale)))
    dim: Array = np.zeros(canvas.shape[:2], np.float32)
    cv2.ellipse(dim, pool, wide, 0, 0, 360, 0.35 * (1.0 - light.ambient) + 0.12, -1)
    shadow = np.asarray(cv2.GaussianBlur(np.maximum(shade, dim), (0, 0), 0.018 * view.scale))
    canvas *= 1.0 - shadow[..., None]


def _relight(light: Light, rng: np.random.Generator) -> Light:
    """Return the light of a camera at another time of day."""
    x, y, z = light.x + rng.normal(0.0, 0.25), light.y, light.z
    norm = math.sqrt(x * x + y * y + z * z)
    ambient = float(np.clip(light.ambient + rng.normal(0.0, 0.06), 0.35, 0.75))
    return Light(x / norm, y / norm, z / norm, ambient)


def _crop(scene: Array, top: int, left: int, shape: tuple[int, int]) -> Array:
    """Copy a part of a scene, which is reflected at its edges."""
    (height, width), (rows, columns) = shape, scene.shape[:2]
    if not (0 <= top <= rows - height and 0 <= left <= columns - width):
        rows_over = (max(0, -top), max(0, top + height - rows))
        columns_over = (max(0, -left), max(0, left + width - columns))
        scene = np.pad(scene, (rows_over, columns_over, (0, 0)), "reflect")
        top, left = max(0, top), max(0, left)
    part: Array = scene[top : top + height, left : left + width].copy()
    return part


def _silhouette(parts: list[Part], view: View, light: Light, shape: tuple[int, int]) -> Array:
    """Return the opacity of a person in the frame and in as large a space on each side of it."""
    height, width = shape
    around = replace(view, x=view.x + width, ground=view.ground + height)
    opacity: Array = np.zeros((3 * height, 3 * width), np.float32)
    draw_parts(np.zeros((*opacity.shape, 3), np.float32), opacity, parts, around, light)
    return opacity


def _closer(parts: list[Part], view: View, middle: float, cover: Array, light: Light) -> View:
    """Return a view of a passer-by who is so close that they hide ``LEAST_COVER`` of the person."""
    for _ in range(12):
        front: Array = np.zeros_like(cover)
        draw_parts(np.zeros((*cover.shape, 3), np.float32), front, parts, view, light)
        if float((cover * front).sum()) >= LEAST_COVER * float(cover.sum()):
            break
        view = replace(view, scale=1.05 * view.scale, x=0.5 * (view.x + middle))
    return view


def film_tracklet(
    person: Person,
    camera: Camera,
    frames: int,
    rng: np.random.Generator,
    passers_by: list[Person],
    occluded: float,
    troubles: Sequence[Trouble | None] | None = None,
) -> Iterator[Frame]:
    """Yield the frames of one person walking past one camera.

    Args:
        person: person who is tracked.
        camera: camera that films.
        frames: number of frames.
        rng: random generator of the tracklet.
        passers_by: other people, who walk in front or stand in the background.
        occluded: probability that something passes in front of the person, 0 to 1.
        troubles: trouble of each frame, or None for a good one; None if there are none.

    Yields:
        Frame: the next frame.
    """
    height, width = camera.shape
    unit = height / FRAME_HEIGHT
    yaw = camera.yaw + float(rng.normal(0.0, 0.16))
    scale = camera.fill * height / person.height * float(rng.uniform(0.93, 1.05))
    ground = height * 0.5 * (1.0 + camera.fill) + unit * float(rng.uniform(-6.0, 8.0))
    light = _relight(camera.light, rng)
    gain = np.exp(rng.normal(0.0, 0.07) + rng.normal(0.0, 0.02, 3)).astype(np.float32)
    phase = float(rng.uniform())
    # a tracker keeps the person in the middle, so it is the background that moves
    drift = -math.sin(yaw) * person.cadence * 1.25 * scale * 0.55
    room, travel = camera.background.shape[1] - width, drift * frames
    low, high = max(0.0, travel), room + min(0.0, travel)
    left = float(rng.uniform(low, max(low, high)))
    top = int(rng.integers(0, camera.background.shape[0] - height))
    occluder = None
    if rng.random() < occluded:
        occluder = sample_occluder(rng, frames, drift / unit, passers_by)
    bystander = passers_by[int(rng.integers(len(passers_by)))] if rng.random() < 0.2 else None
    behind = View(
        float(rng.uniform(-3.1, 3.1)), camera.pitch, 0.55 * scale, 0.0, ground - 0.2 * height
    )
    spot = float(rng.uniform(-0.1, 1.1)) * width
    wander = np.zeros(3)
    motion = abs(drift) * float(rng.uniform(0.0, 0.5))
    for number, trouble in enumerate(troubles or [None] * frames):
        wander = 0.7 * wander + rng.normal(0.0, (2.2 * unit, 1.8 * unit, 0.012))
        view = View(
            yaw + 0.04 * math.sin(0.7 * number),
            camera.pitch,
            scale * (1.0 + float(wander[2])),
            0.5 * width + float(wander[0]),
            ground + float(wander[1]),
        )
        gait = phase + person.cadence * number
        pose = walk(person, gait)
        parts = body_parts(person, pose)
        x = int(np.clip(left - drift * number, 0, room))
        across = down = 0
        if trouble is not None:
            whole = _silhouette(parts, view, light, camera.shape)
            across, down = trouble.shift(whole, camera.shape)
        canvas = _crop(camera.background, top + down, x + across, camera.shape)
        ignored = np.zeros((height, width), np.float32)
        if bystander is not None:
            there = replace(
                behind, x=spot + 2.0 * unit * number - across, ground=behind.ground - down
            )
            far = body_parts(bystander, walk(bystander, phase + 0.08 * number))
            draw_parts(canvas, ignored, far, there, light)
        shown = replace(view, x=view.x - across, ground=view.ground - down)
        _shadow(canvas, pose, shown, light)
        cover = np.zeros((height, width), np.float32)
        draw_parts(canvas, cover, parts, shown, light)
        truth = FrameTruth(0.0)
        if occluder is not None:
            front = draw_occluder(canvas, occluder, number, view, light, phase + 0.1 * number)
            hidden = float((cover * front).sum() / max(float(cover.sum()), 1.0))
            truth = FrameTruth(min(hidden, 1.0), occluder.kind)
        elif trouble is not None:
            front = np.zeros((height, width), np.float32)
            if trouble.person is not None:
                pose = walk(trouble.person, gait + trouble.phase)
                other = body_parts(trouble.person, pose)
                near = trouble.view(trouble.person, view, camera)
                if trouble.kind == "passer-by":
                    near = _closer(other, near, view.x, cover, light)
                _shadow(canvas, pose, near, light)
                draw_parts(canvas, front, other, near, light)
            seen = float((cover * (1.0 - front)).sum() / max(float(whole.sum()), 1.0))
            truth = FrameTruth(min(max(1.0 - seen, 0.0), 1.0), trouble.kind, trouble.pid)
        yield Frame(expose(canvas, camera, gain, motion, rng), truth)
