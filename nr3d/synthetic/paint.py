"""Painting of shaded, rounded and textured limbs into a frame."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nr3d.synthetic.fabric import Array

Point = NDArray[np.float64]


@dataclass(frozen=True)
class Patch:
    """The pixels around a part, as arrays of shape (H, W).

    Args:
        azimuth: angle about the person's vertical axis, in radians; 0 is the front, π/2 the left
            side.
        arc: the same angle as a length on the surface of the part, in metres.
        along: distance from the start of the part, in metres, clamped beyond its ends.
        normal_x: component of the surface normal to the right of the image.
        normal_y: component of the surface normal down the image.
        normal_z: component of the surface normal towards the camera.
    """

    azimuth: Array
    arc: Array
    along: Array
    normal_x: Array
    normal_y: Array
    normal_z: Array


Surface = Callable[[Patch], Array]


@dataclass(frozen=True)
class Part:
    """A limb: a capsule between two points whose radius changes along its length.

    Args:
        start: start point (left, up, forward), in metres.
        end: end point (left, up, forward), in metres.
        radii: half-widths at evenly spaced positions from start to end, in metres.
        surface: function that returns the colours of a patch, of shape (H, W, 3).
        depth_ratio: half-depth as a fraction of the half-width, which is seen from the side.
        cap: roundness of the ends: 1 for half circles, near 0 for flat ends.
        bias: distance added to the depth when parts are sorted from far to near, in metres.
        offset: length of the same garment before this part, in metres; a sleeve, for example,
            continues below the elbow.
    """

    start: Point
    end: Point
    radii: tuple[float, ...]
    surface: Surface
    depth_ratio: float = 1.0
    cap: float = 1.0
    bias: float = 0.0
    offset: float = 0.0


@dataclass(frozen=True)
class View:
    """Place and orientation of a body in the image.

    Args:
        yaw: direction of the body in radians: 0 towards the camera, π/2 to the right, π away.
        pitch: downward tilt of the camera, in radians.
        scale: pixels per metre.
        x: column of the body's axis, in pixels.
        ground: row of the ground under the body, in pixels.
    """

    yaw: float
    pitch: float
    scale: float
    x: float
    ground: float

    def project(self, point: Point) -> tuple[float, float, float]:
        """Return column and row (pixels) and depth towards the camera (metres) of a body point."""
        left, up, forward = point.tolist()
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        right = left * cos + forward * sin
        near = forward * cos - left * sin
        row = self.ground - self.scale * (up * math.cos(self.pitch) - near * math.sin(self.pitch))
        return self.x + self.scale * right, row, near


@dataclass(frozen=True)
class Light:
    """A directed light together with ambient light.

    Args:
        x: component of the direction to the light, to the right of the image.
        y: component of the direction to the light, down the image; negative for light from above.
        z: component of the direction to the light, towards the camera.
        ambient: share of the ambient light, 0 to 1.
    """

    x: float
    y: float
    z: float
    ambient: float

    def shade(self, patch: Patch) -> Array:
        """Return the brightness of each pixel of a patch."""
        facing = self.x * patch.normal_x + self.y * patch.normal_y + self.z * patch.normal_z
        rim = 0.72 + 0.28 * patch.normal_z
        shade: Array = (self.ambient + (1.0 - self.ambient) * 1.35 * np.maximum(facing, 0.0)) * rim
        return shade


def draw_part(canvas: Array, cover: Array, part: Part, view: View, light: Light) -> None:
    """Blend one part into a frame.

    Args:
        canvas: frame in [0, 1], of shape (H, W, 3), changed in place.
        cover: opacity of the parts drawn so far, of shape (H, W), changed in place.
        part: part to draw.
        view: place and orientation of the body.
        light: light of the scene.
    """
    ax, ay, _ = view.project(part.start)
    bx, by, _ = view.project(part.end)
    seen = math.hypot(math.cos(view.yaw), part.depth_ratio * math.sin(view.yaw))
    radii = [radius * view.scale * seen for radius in part.radii]
    reach = max(radii) + 1.5
    height, width = cover.shape
    x0, x1 = max(0, int(min(ax, bx) - reach)), min(width, int(max(ax, bx) + reach) + 2)
    y0, y1 = max(0, int(min(ay, by) - reach)), min(height, int(max(ay, by) + reach) + 2)
    if x0 >= x1 or y0 >= y1:
        return
    # a limb that points at the camera has no length in the image: keep its direction defined
    length = max(math.hypot(bx - ax, by - ay), 1e-3)
    ux, uy = (bx - ax) / length, (by - ay) / length
    px = np.arange(x0, x1, dtype=np.float32)[None, :] - np.float32(ax)
    py = np.arange(y0, y1, dtype=np.float32)[:, None] - np.float32(ay)
    run = px * np.float32(ux) + py * np.float32(uy)
    side = px * np.float32(uy) - py * np.float32(ux)
    inside = np.clip(run, 0.0, length)
    beyond = (run - inside) / np.float32(part.cap)
    part_of = inside / np.float32(length)
    if len(radii) < 3:
        radius = np.float32(radii[0]) + part_of * np.float32(radii[-1] - radii[0])
    else:
        knots = [knot / (len(radii) - 1) for knot in range(len(radii))]
        radius = np.interp(part_of, knots, radii).astype(np.float32)
    distance = np.sqrt(side * side + beyond * beyond)
    alpha = np.clip(radius - distance + 0.5, 0.0, 1.0)
    across = np.clip(side / radius, -1.0, 1.0)
    outwards = np.clip(beyond / radius, -1.0, 1.0)
    normal_z = np.sqrt(np.maximum(1.0 - across * across - outwards * outwards, 0.0))
    azimuth = np.arcsin(across) - np.float32(view.yaw)
    metres = float(np.linalg.norm(part.end - part.start))
    patch = Patch(
        azimuth=azimuth,
        arc=azimuth * np.float32(max(part.radii)),
        along=part_of * np.float32(metres) + np.float32(part.offset),
        normal_x=across * np.float32(uy) + outwards * np.float32(ux),
        normal_y=-across * np.float32(ux) + outwards * np.float32(uy),
        normal_z=normal_z,
    )
    colour = part.surface(patch) * light.shade(patch)[..., None]
    region = canvas[y0:y1, x0:x1]
    region += alpha[..., None] * (colour - region)
    covered = cover[y0:y1, x0:x1]
    covered += alpha * (1.0 - covered)


def draw_parts(canvas: Array, cover: Array, parts: list[Part], view: View, light: Light) -> None:
    """Blend parts into a frame from the farthest to the nearest, as :func:`draw_part` does."""

    def nearness(part: Part) -> float:
        return 0.5 * (view.project(part.start)[2] + view.project(part.end)[2]) + part.bias

    for part in sorted(parts, key=nearness):
        draw_part(canvas, cover, part, view, light)
