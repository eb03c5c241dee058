"""Bodies: the parts of a dressed person, each with its shape and surface."""

from __future__ import annotations

import math

import numpy as np

from nr3d.synthetic.fabric import FOLDS, RGB, Array, Fabric, noise_at
from nr3d.synthetic.gait import Point, Pose, Side
from nr3d.synthetic.paint import Part, Patch, Surface
from nr3d.synthetic.people import Person

# hair grows where height on the head minus frontness exceeds this
_HAIRLINE = {"short": 0.06, "bald": 9.0, "bob": -0.12, "long": -0.12, "bun": 0.02}


def _flat(colour: RGB) -> Surface:
    tone = np.asarray(colour, np.float32)

    def surface(patch: Patch) -> Array:
        return np.broadcast_to(tone, (*patch.along.shape, 3))

    return surface


def _soft(value: Array, width: float) -> Array:
    """Return a soft step: 0 below zero, 1 above, with a transition of the given width."""
    step: Array = np.clip(value / width + 0.5, 0.0, 1.0)[..., None].astype(np.float32)
    return step


def _over(below: Array, share: Array, colour: RGB) -> Array:
    mixed: Array = below + share * (np.asarray(colour, np.float32) - below)
    return mixed


def _cloth(fabric: Fabric, skin: RGB, covered: float = math.inf) -> Surface:
    """Return creased cloth down to ``covered`` metres from the garment's start, and skin below."""

    def surface(patch: Patch) -> Array:
        colour = fabric.paint(patch.azimuth, patch.arc, patch.along)
        colour = colour * (1.0 + 0.13 * noise_at(FOLDS, patch.arc, patch.along, 60.0))[..., None]
        if math.isinf(covered):
            return colour
        return _over(colour, _soft(patch.along - covered, 0.012), skin)

    return surface


def _torso(person: Person, length: float) -> Surface:
    """Return the top with what lies on it: open jacket, print, straps of a bag, collar."""
    cloth = _cloth(person.top, person.skin)

    def surface(patch: Patch) -> Array:
        colour = cloth(patch)
        across, front = np.sin(patch.azimuth), np.cos(patch.azimuth)
        if person.inner is not None:
            opening = 0.30 + 0.10 * patch.along / length
            colour = _over(
                colour, _soft(opening - np.abs(across) - 9.0 * (front <= 0), 0.06), person.inner
            )
        elif person.emblem is not None:
            far = np.hypot(across * 0.16, (patch.along - 0.17) * 0.85) + 9.0 * (front <= 0)
            colour = _over(colour, _soft(0.085 - far, 0.012), person.emblem)
        neckline = 0.05 - np.hypot(across * 0.16, patch.along) + 0.02 * front
        colour = _over(colour, _soft(neckline, 0.012), person.skin)
        if person.bag == "backpack":
            strap = 0.09 - np.abs(np.abs(across) - 0.58) - 9.0 * (front <= 0)
            strap = np.minimum(strap, 0.72 * length - patch.along)
            colour = _over(colour, _soft(strap, 0.03), person.bag_colour)
        elif person.bag == "shoulder":
            line = np.abs(across - 0.75 + 1.6 * patch.along / length) * 0.16
            colour = _over(colour, _soft(0.024 - line, 0.012), person.bag_colour)
        return colour

    return surface


def _head(person: Person, radius: float, length: float) -> Surface:
    """Return face, hair and the edge of a hat for a head of given radius and straight length."""

    def surface(patch: Patch) -> Array:
        up = (0.5 * length - patch.along - radius * patch.normal_y) / (radius + 0.5 * length)
        level = np.sqrt(np.maximum(1.0 - up * up, 0.0))
        front = np.cos(patch.azimuth) * level
        side = np.sin(patch.azimuth) * level
        colour = np.broadcast_to(np.asarray(person.skin, np.float32), (*up.shape, 3))
        eyes = 0.13 - np.hypot(np.abs(side) - 0.36, (up - 0.06) * 1.3) - 9.0 * (front <= 0)
        colour = _over(colour, 0.8 * _soft(eyes, 0.1), (0.12, 0.09, 0.08))
        mouth = 0.16 - np.hypot(side * 0.8, (up + 0.5) * 2.6) - 9.0 * (front <= 0)
        colour = _over(colour, 0.5 * _soft(mouth, 0.1), (0.55, 0.22, 0.2))
        hair = up - 0.9 * front - _HAIRLINE[person.hair_style]
        colour = _over(colour, _soft(hair, 0.15), person.hair)
        if person.hat is not None:
            colour = _over(colour, _soft(up - 0.22, 0.1), person.hat)
        return colour

    return surface


def _head_parts(person: Person, pose: Pose) -> list[Part]:
    height, head = person.height, pose.head
    radius = 0.06 * height
    up, forward = np.array([0.0, 0.02 * height, 0.0]), np.array([0.0, 0.0, 1.0])
    face = _head(person, radius, 0.04 * height)
    parts = [
        Part(pose.chest, head, (0.037 * height,), _flat(person.skin), bias=0.02),
        Part(head + up, head - up, (radius, radius, 0.85 * radius), face, 1.12, bias=0.06),
    ]
    hair = _flat(person.hair)
    if person.hair_style in ("long", "bob"):
        drop = 0.16 * height if person.hair_style == "long" else 0.075 * height
        top = head - forward * 0.4 * radius + 0.5 * up
        low = top - np.array([0.0, drop, 0.0]) - forward * 0.4 * radius
        shape = (0.95 * radius, 1.22 * radius, 1.1 * radius)
        parts.append(Part(top, low, shape, hair, 0.8, cap=0.5, bias=-0.02))
    if person.hair_style == "bun" and person.hat is None:
        knot = head - forward * 1.05 * radius + 1.4 * up
        parts.append(Part(knot, knot + 0.1 * up, (0.5 * radius,), hair))
    if person.hat is not None:
        crown = head + 1.1 * up
        parts.append(
            Part(
                crown + 0.6 * up,
                crown,
                (0.98 * radius, 1.08 * radius),
                _flat(person.hat),
                1.1,
                0.8,
                0.07,
            )
        )
        brim = crown - 0.1 * up + forward * 0.8 * radius
        parts.append(
            Part(
                brim,
                brim + forward * radius,
                (0.75 * radius, 0.5 * radius),
                _flat(person.hat),
                1.0,
                0.3,
                0.05,
            )
        )
    return parts


def _arm_parts(person: Person, side: Side) -> list[Part]:
    height = person.height
    width = 0.031 * height * person.build**0.7
    upper = float(np.linalg.norm(side.elbow - side.shoulder))
    reach = upper + float(np.linalg.norm(side.wrist - side.elbow))
    sleeve = person.sleeve * reach if person.sleeve < 1.0 else math.inf
    cloth = _cloth(person.top, person.skin, sleeve)
    hand = side.wrist + (side.wrist - side.elbow) * 0.22
    return [
        Part(side.shoulder, side.elbow, (1.25 * width, width), cloth, bias=0.08),
        Part(side.elbow, side.wrist, (width, 0.75 * width), cloth, bias=0.085, offset=upper),
        Part(side.wrist, hand, (0.6 * width, 0.75 * width), _flat(person.skin), bias=0.087),
    ]


def _leg_parts(person: Person, side: Side) -> list[Part]:
    height = person.height
    width = 0.052 * height * person.build**0.8
    thigh = float(np.linalg.norm(side.knee - side.hip))
    reach = thigh + float(np.linalg.norm(side.ankle - side.knee))
    if person.bottom_cut == "skirt":
        cloth = _flat(person.skin)
    else:
        covered = person.leg_cover * reach if person.leg_cover < 1.0 else math.inf
        cloth = _cloth(person.bottom, person.skin, covered)
    # bare knees must not be drawn over the cloth in front of them
    tuck = 0.15 if person.bottom_cut == "skirt" or person.coat > 0.0 else 0.0
    loose = 1.12 if person.bottom_cut != "skirt" else 0.92
    shapes = ((1.2 * width, 0.85 * width), (0.82 * width, 0.82 * width, 0.55 * width))
    heel = side.ankle - 0.22 * (side.toe - side.ankle)
    sole = np.array([0.0, -0.018 * height, 0.0])
    return [
        Part(side.hip, side.knee, tuple(loose * r for r in shapes[0]), cloth, bias=-0.16 - tuck),
        Part(
            side.knee,
            side.ankle,
            tuple(loose * r for r in shapes[1]),
            cloth,
            1.0,
            0.6,
            -0.161 - tuck,
            thigh,
        ),
        Part(
            heel + sole,
            side.toe + sole,
            (0.026 * height, 0.019 * height),
            _flat(person.shoes),
            bias=-0.165,
        ),
    ]


def _hanging(
    person: Person, pose: Pose, cloth: Fabric, drop: float, bias: float, offset: float
) -> Part:
    """Return a skirt or lower coat, whose hem follows the knees and widens with each step."""
    hem = 0.5 * (pose.left.knee + pose.right.knee)
    hem[1] = pose.pelvis[1] - drop
    step = abs(float(pose.left.knee[2] - pose.right.knee[2]))
    waist = 0.106 * person.height * person.build
    flare = waist * 1.12 + 0.10 * drop
    # from the side the hem is as wide as the step
    ratio = 0.72 + 0.9 * step * drop / (0.4 * person.height)
    top = pose.pelvis + np.array([0.0, 0.06 * person.height, 0.0])
    return Part(
        top,
        hem,
        (0.88 * waist, waist * 1.08, flare),
        _cloth(cloth, person.skin),
        ratio,
        0.15,
        bias,
        offset,
    )


def _bag_part(person: Person, pose: Pose) -> Part | None:
    height, bag = person.height, _flat(person.bag_colour)
    down = np.array([0.0, -1.0, 0.0])
    if person.bag == "backpack":
        back = pose.chest - np.array([0.0, 0.0, 0.115 * height * person.build**0.5])
        start = back + 0.005 * height * down
        size = 0.07 * height
        return Part(
            start,
            start + 0.2 * height * down,
            (0.85 * size, size, 1.05 * size),
            bag,
            0.62,
            0.45,
            0.1,
        )
    if person.bag == "shoulder":
        hip = pose.pelvis + np.array([-0.125 * height * person.build, 0.05 * height, 0.02 * height])
        return Part(hip, hip + 0.1 * height * down, (0.07 * height,), bag, 1.1, 0.3, 0.11)
    if person.bag == "handbag":
        hand = pose.left.wrist + 0.05 * height * down
        return Part(
            hand + 0.05 * height * down,
            hand + 0.14 * height * down,
            (0.04 * height, 0.075 * height),
            bag,
            1.3,
            0.3,
            0.1,
        )
    return None


def body_parts(person: Person, pose: Pose) -> list[Part]:
    """Return all parts of a dressed person in a pose, in no particular order."""
    height, build = person.height, person.build
    hips = pose.pelvis + np.array([0.0, -0.015 * height, 0.0])
    length = float(np.linalg.norm(pose.chest - hips))
    broad = 0.118 * height * build * person.shoulders
    shape = (0.98 * broad, broad, 0.94 * broad, 0.096 * height * build, 0.106 * height * build)
    parts = [Part(pose.chest, hips, shape, _torso(person, length), 0.68, cap=0.3)]
    parts += _head_parts(person, pose)
    for side in (pose.left, pose.right):
        parts += _arm_parts(person, side)
        parts += _leg_parts(person, side)
    if person.bottom_cut == "skirt":
        parts.append(
            _hanging(person, pose, person.bottom, person.leg_cover * 0.48 * height, -0.03, 0.0)
        )
    if person.coat > 0.0:
        drop = person.coat * 0.245 * height
        parts.append(_hanging(person, pose, person.top, drop, -0.01, length - 0.06 * height))
    bag = _bag_part(person, pose)
    if bag is not None:
        parts.append(bag)
    return parts


def foot_points(pose: Pose) -> tuple[Point, Point]:
    """Return the points under which the feet cast their shadows, the left foot first."""
    return 0.5 * (pose.left.ankle + pose.left.toe), 0.5 * (pose.right.ankle + pose.right.toe)
