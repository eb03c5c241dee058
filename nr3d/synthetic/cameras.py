"""Cameras: their viewpoints, backgrounds, colours and image quality."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from nr3d.synthetic.fabric import Array
from nr3d.synthetic.paint import Light
from nr3d.synthetic.scenes import SCENE_HEIGHT, SCENE_WIDTH, SCENES, draw_scene

FRAME_HEIGHT = 256
FRAME_WIDTH = 128

_CAMERA = 102
# front, right side, back, left side, then two oblique views
_VIEWS = (0.2, 1.3, math.pi - 0.3, -1.2, 0.75, -2.3)
# white balances a long way apart: tungsten, shade, fluorescent, neutral, sodium, dusk
_CASTS = (
    (1.08, 0.99, 0.88),
    (0.90, 0.98, 1.09),
    (0.95, 1.05, 0.94),
    (1.02, 0.99, 0.99),
    (1.09, 0.97, 0.91),
    (0.98, 0.94, 1.07),
)


@dataclass(frozen=True)
class Camera:
    """A camera: everything that its tracklets have in common.

    Args:
        index: number of the camera in the file names, 1 to 6.
        yaw: side of the people that it usually sees, in radians (0 front, π/2 walking right).
        pitch: downward tilt of the camera, in radians.
        cast: gains of red, green and blue.
        exposure: common gain of the three channels.
        gamma: exponent of the tone curve.
        haze: share of grey that is mixed in and lowers the contrast, 0 to 1.
        light: direction and ambient share of the light.
        fill: height of a person as a fraction of the height of the frame.
        sharpness: actual resolution as a fraction of the stored frame's; people are drawn at that
            size, which is also faster.
        noise: standard deviation of the sensor noise, in grey levels.
        quality: JPEG quality, 1 to 100.
        background: panorama behind the people, RGB in [0, 1], at the actual resolution.
    """

    index: int
    yaw: float
    pitch: float
    cast: tuple[float, float, float]
    exposure: float
    gamma: float
    haze: float
    light: Light
    fill: float
    sharpness: float
    noise: float
    quality: int
    background: Array

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a frame at the camera's actual resolution."""
        return round(FRAME_HEIGHT * self.sharpness), round(FRAME_WIDTH * self.sharpness)


def _apart(value: float, neutral: float, shift: float) -> float:
    """Multiply the deviation from a neutral value; a factor of 1 changes no bit."""
    return float(value + (shift - 1.0) * (value - neutral))


def sample_camera(seed: int, index: int, shift: float = 1.0) -> Camera:
    """Sample a camera of a dataset.

    Args:
        seed: seed of the dataset.
        index: number of the camera, 1 to 6.
        shift: factor for the deviations of its cast, exposure, gamma and haze from those of a
            camera that leaves colours unchanged.
    """
    rng = np.random.default_rng([seed, _CAMERA, index])
    # the order of scenes and casts is that of the dataset, so that no two cameras share one
    order = np.random.default_rng([seed, _CAMERA])
    casts = [int(i) for i in order.permutation(len(_CASTS))]
    scenes = [int(i) for i in order.permutation(len(SCENES))]
    cast = np.asarray(_CASTS[casts[index - 1]]) * rng.uniform(0.95, 1.05, 3)
    across, down, front = rng.uniform(-0.8, 0.8), rng.uniform(-0.9, -0.35), rng.uniform(0.5, 0.9)
    norm = math.sqrt(across**2 + down**2 + front**2)
    light = Light(across / norm, down / norm, front / norm, float(rng.uniform(0.48, 0.7)))
    pitch = float(rng.uniform(0.08, 0.3))
    sharpness = float(rng.uniform(0.55, 0.8))
    horizon = int(150 - 330 * pitch + rng.uniform(-15, 15))
    return Camera(
        index=index,
        yaw=_VIEWS[index - 1] + float(rng.uniform(-0.15, 0.15)),
        pitch=pitch,
        cast=(
            _apart(cast[0], 1.0, shift),
            _apart(cast[1], 1.0, shift),
            _apart(cast[2], 1.0, shift),
        ),
        exposure=_apart(rng.uniform(0.86, 1.1), 1.0, shift),
        gamma=_apart(rng.uniform(0.92, 1.14), 1.0, shift),
        haze=_apart(rng.uniform(0.0, 0.12), 0.0, shift),
        light=light,
        fill=float(rng.uniform(0.85, 0.93)),
        sharpness=sharpness,
        noise=float(rng.uniform(1.5, 6.0)),
        quality=int(rng.integers(45, 85)),
        background=np.ascontiguousarray(
            cv2.resize(
                draw_scene(rng, SCENES[scenes[index - 1]], horizon),
                (round(SCENE_WIDTH * sharpness), round(SCENE_HEIGHT * sharpness)),
                interpolation=cv2.INTER_AREA,
            )
        ),
    )


def _blur_kernel(pixels: float) -> np.ndarray | None:
    """Return the kernel of a horizontal motion blur of a length in pixels; None below one pixel."""
    if pixels < 1.0:
        return None
    size = 2 * math.ceil(0.5 * pixels) + 1
    kernel = np.clip(0.5 * pixels + 0.5 - np.abs(np.arange(size) - size // 2), 0.0, 1.0)
    row: np.ndarray = (kernel / kernel.sum()).astype(np.float32)[None, :]
    return row


def expose(
    frame: Array, camera: Camera, gain: Array, motion: float, rng: np.random.Generator
) -> np.ndarray:
    """Turn a drawn frame into the image that the camera stores, before compression.

    Args:
        frame: scene in [0, 1], of shape (*camera.shape, 3).
        camera: camera that takes the image.
        gain: gains of red, green and blue in this frame, in addition to those of the camera.
        motion: length of the motion blur, in pixels.
        rng: random generator of the sensor noise.

    Returns:
        np.ndarray: RGB image, uint8, of shape (``FRAME_HEIGHT``, ``FRAME_WIDTH``, 3).
    """
    height, width = frame.shape[:2]
    kernel = _blur_kernel(motion)
    if kernel is not None:
        frame = np.asarray(cv2.filter2D(frame, -1, kernel), np.float32)
    gains = np.asarray(camera.cast, np.float32) * np.float32(camera.exposure) * gain
    frame = np.clip(frame, 0.0, 1.4) * gains.astype(np.float32)
    frame = (1.0 - camera.haze) * frame + np.float32(0.55 * camera.haze)
    # a lookup table is much faster than a power for each pixel
    levels = np.clip(frame * 180.0, 0.0, 255.0).astype(np.uint8)
    curve = (np.arange(256) / 180.0) ** camera.gamma
    curve = 255.0 * (1.0 - np.exp(-2.2 * curve)) / (1.0 - np.exp(-2.2))
    toned = np.clip(curve, 0.0, 255.0).astype(np.uint8)[levels]
    noise = np.empty((height, width, 3), np.int16)
    grain = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    # the sum of a uniform and its shifted self is bell-shaped enough for sensor noise
    np.add(grain, np.roll(grain, 7, axis=1), out=noise, dtype=np.int16, casting="unsafe")
    noisy = toned + (noise - 255) * np.float32(camera.noise / 104.0)
    small = np.clip(noisy, 0.0, 255.0).astype(np.uint8)
    size = (FRAME_WIDTH, FRAME_HEIGHT)
    stored: np.ndarray = cv2.resize(small, size, interpolation=cv2.INTER_CUBIC)
    return stored
