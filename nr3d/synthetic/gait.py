"""A walking skeleton: the positions of its joints at a phase of the gait cycle."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nr3d.synthetic.people import Person

Point = NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """Joints of one side of the body, each a point (left, up, forward) in metres."""

    shoulder: Point
    elbow: Point
    wrist: Point
    hip: Point
    knee: Point
    ankle: Point
    toe: Point


@dataclass(frozen=True)
class Pose:
    """The skeleton at one moment, with its lower foot on the ground (up = 0)."""

    left: Side
    right: Side
    pelvis: Point
    chest: Point
    neck: Point
    head: Point


def hip_angle(phase: float, stride: float) -> float:
    """Return the flexion of the hip in radians; the leg is foremost at phase 0, on heel strike."""
    return stride * math.cos(2.0 * math.pi * phase) + 0.06


def knee_angle(phase: float) -> float:
    """Return the flexion of the knee in radians: small in stance, with a peak at 0.72 in swing."""
    swing = (phase - 0.72 + 0.5) % 1.0 - 0.5
    loading = (phase - 0.14 + 0.5) % 1.0 - 0.5
    return 0.08 + 1.0 * math.exp(-((swing / 0.12) ** 2)) + 0.2 * math.exp(-((loading / 0.07) ** 2))


def _swing(length: float, angle: float, outwards: float) -> Point:
    """Return a hanging bone of the given length, turned by angles forwards and ``outwards``."""
    return np.array(
        [
            length * math.sin(outwards),
            -length * math.cos(angle) * math.cos(outwards),
            length * math.sin(angle),
        ]
    )


def _leg(person: Person, phase: float, sign: float) -> tuple[Point, Point, Point, Point]:
    height = person.height
    hip = np.array([sign * 0.058 * height * person.build**0.5, 0.0, 0.0])
    thigh = hip_angle(phase, person.stride)
    shin = thigh - knee_angle(phase)
    knee = hip + _swing(0.245 * height, thigh, sign * 0.02)
    ankle = knee + _swing(0.235 * height, shin, -sign * 0.01)
    # the heel lifts before the swing: the foot follows the shin there and lies flat in stance
    pitch = min(0.25, 0.9 * shin + 0.1)
    toe = ankle + 0.125 * height * np.array([sign * 0.15, math.sin(pitch) - 0.18, math.cos(pitch)])
    return hip, knee, ankle, toe


def _arm(person: Person, phase: float, sign: float) -> tuple[Point, Point, Point]:
    height = person.height
    swing = -person.arm_swing * math.cos(2.0 * math.pi * phase)
    elbow_bend = 0.22 + 0.35 * max(0.0, swing)
    splay = sign * (0.10 + 0.10 * max(0.0, person.build - 1.0))
    shoulder = np.array([sign * 0.123 * height * person.build**0.6 * person.shoulders, 0.0, 0.0])
    elbow = shoulder + _swing(0.165 * height, swing, splay)
    wrist = elbow + _swing(0.15 * height, swing + elbow_bend, splay * 0.3)
    return shoulder, elbow, wrist


def walk(person: Person, phase: float) -> Pose:
    """Return the pose of a walking person.

    Args:
        person: the person, whose height, build, shoulders, stride, arm swing and lean are used.
        phase: position in the gait cycle; the integer part is ignored. The right leg and the left
            arm are half a cycle behind the left leg and the right arm.
    """
    height = person.height
    legs = [_leg(person, phase, 1.0), _leg(person, phase + 0.5, -1.0)]
    lowest = min(min(ankle[1] - 0.035 * height, toe[1]) for _, _, ankle, toe in legs)
    pelvis = np.array([0.0, -lowest, 0.0])
    trunk = np.array([0.0, math.cos(person.lean), math.sin(person.lean)])
    chest = pelvis + 0.295 * height * trunk
    neck = pelvis + 0.325 * height * trunk
    head = neck + np.array([0.0, 0.075 * height, 0.012 * height])
    # shoulders turn against the hips
    twist = -0.12 * math.cos(2.0 * math.pi * phase)
    sides = []
    for sign, shift, leg in ((1.0, 0.0, legs[0]), (-1.0, 0.5, legs[1])):
        shoulder, elbow, wrist = (chest + point for point in _arm(person, phase + shift, sign))
        turn = np.array([0.0, 0.0, sign * twist * 0.1 * height])
        hip, knee, ankle, toe = (pelvis + point for point in leg)
        sides.append(Side(shoulder + turn, elbow + turn, wrist + turn, hip, knee, ankle, toe))
    return Pose(sides[0], sides[1], pelvis, chest, neck, head)
