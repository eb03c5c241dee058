"""Synthetic people: build, skin, hair, clothes, bag and way of walking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from nr3d.synthetic.fabric import PALETTE, PATTERNS, RGB, Fabric

_PERSON = 101  # word that separates these random generators from those for other things
_MIN_DISTANCE = 0.56
_TRIES = 120

_SKINS: tuple[RGB, ...] = (
    (0.95, 0.78, 0.67),
    (0.88, 0.68, 0.54),
    (0.76, 0.56, 0.42),
    (0.58, 0.40, 0.28),
    (0.38, 0.25, 0.18),
)
_HAIRS: tuple[RGB, ...] = (
    (0.06, 0.05, 0.05),
    (0.20, 0.12, 0.07),
    (0.42, 0.26, 0.13),
    (0.82, 0.66, 0.36),
    (0.62, 0.24, 0.10),
    (0.70, 0.69, 0.68),
)
_TOPS = tuple(name for name in PALETTE if name != "denim")
_BOTTOMS = (
    "black",
    "charcoal",
    "grey",
    "white",
    "navy",
    "denim",
    "sky",
    "green",
    "olive",
    "red",
    "maroon",
    "purple",
    "brown",
    "beige",
    "pink",
    "yellow",
)


@dataclass(frozen=True)
class Person:
    """The appearance and gait of an identity; colours are RGB in [0, 1].

    Args:
        height: body height in metres, 1.50 to 1.98.
        build: width factor of torso and limbs, 0.82 to 1.35.
        shoulders: additional width factor of the shoulders.
        skin: skin colour.
        hair: hair colour.
        hair_style: ``short``, ``bald``, ``bob``, ``long`` or ``bun``.
        hat: colour of the hat; None without a hat.
        top: cloth of the upper body.
        sleeve: covered fraction of the arm, 0 to 1.
        coat: length of the top below the hip as a fraction of the thigh; 0 if it ends above.
        inner: colour of the shirt under an open jacket; None if the top is closed.
        emblem: colour of a print on the chest; None without a print.
        bottom: cloth of the lower body.
        bottom_cut: ``trousers``, ``shorts`` or ``skirt``.
        leg_cover: covered fraction of the leg from the hip, 0 to 1.
        shoes: colour of the shoes.
        bag: ``none``, ``backpack``, ``shoulder`` or ``handbag``.
        bag_colour: colour of the bag.
        stride: amplitude of the hip angle, in radians.
        cadence: gait cycles per frame.
        arm_swing: amplitude of the shoulder angle, in radians.
        lean: forward lean of the trunk, in radians.
    """

    height: float
    build: float
    shoulders: float
    skin: RGB
    hair: RGB
    hair_style: str
    hat: RGB | None
    top: Fabric
    sleeve: float
    coat: float
    inner: RGB | None
    emblem: RGB | None
    bottom: Fabric
    bottom_cut: str
    leg_cover: float
    shoes: RGB
    bag: str
    bag_colour: RGB
    stride: float
    cadence: float
    arm_swing: float
    lean: float


def _pick(rng: np.random.Generator, names: Sequence[str], weights: Sequence[float]) -> str:
    share = np.asarray(weights, np.float64)
    return names[int(rng.choice(len(names), p=share / share.sum()))]


def _dye(rng: np.random.Generator, names: Sequence[str]) -> RGB:
    """Return a slightly altered palette colour, because no two garments are dyed alike."""
    colour = np.asarray(PALETTE[names[int(rng.integers(len(names)))]])
    shifted = np.clip(colour * rng.uniform(0.88, 1.1) + rng.normal(0.0, 0.015, 3), 0.03, 0.97)
    return (float(shifted[0]), float(shifted[1]), float(shifted[2]))


def _contrast(rng: np.random.Generator, base: RGB, names: Sequence[str]) -> RGB:
    """Return a colour that contrasts with ``base`` even in a pattern that is a few pixels wide."""
    colour = _dye(rng, names)
    while float(np.abs(np.subtract(colour, base)).sum()) < 0.75:
        colour = _dye(rng, names)
    return colour


def _sample_top(rng: np.random.Generator) -> Fabric:
    pattern = _pick(rng, PATTERNS, (4.0, 2.4, 1.2, 1.8, 1.5, 2.4, 0.4, 0.8))
    base = _dye(rng, _TOPS)
    accent = _contrast(rng, base, _TOPS)
    return Fabric(
        pattern, base, accent, float(rng.uniform(0.13, 0.24)), float(rng.uniform(0.16, 0.3))
    )


def _sample_bottom(rng: np.random.Generator, cut: str) -> Fabric:
    weights = (
        (7.0, 0.6, 0.3, 0.8, 0.5, 0.4, 1.0, 0.7) if cut != "skirt" else (4, 2, 1, 2, 2, 1, 0, 0)
    )
    pattern = _pick(rng, PATTERNS, weights)
    base = _dye(rng, _BOTTOMS)
    accent = _contrast(rng, base, _BOTTOMS)
    return Fabric(
        pattern, base, accent, float(rng.uniform(0.12, 0.2)), float(rng.uniform(0.2, 0.5))
    )


def _sample(rng: np.random.Generator) -> Person:
    cut = _pick(rng, ("trousers", "shorts", "skirt"), (6.0, 2.0, 2.0))
    cover = {"trousers": 1.0, "shorts": rng.uniform(0.32, 0.5), "skirt": rng.uniform(0.35, 0.75)}
    hair_style = _pick(rng, ("short", "bald", "bob", "long", "bun"), (5.0, 0.8, 2.0, 3.0, 1.0))
    top = _sample_top(rng)
    open_jacket = rng.random() < 0.1
    bottom = _sample_bottom(rng, cut)
    return Person(
        height=float(np.clip(rng.normal(1.73, 0.09), 1.5, 1.98)),
        build=float(np.clip(rng.normal(1.02, 0.12), 0.82, 1.35)),
        shoulders=float(rng.uniform(0.92, 1.1)),
        skin=_SKINS[int(rng.integers(len(_SKINS)))],
        hair=_HAIRS[int(rng.integers(len(_HAIRS)))],
        hair_style=hair_style,
        hat=_dye(rng, _TOPS) if rng.random() < 0.18 else None,
        top=top,
        sleeve=float(_pick(rng, ("0.0", "0.42", "1.0"), (0.8, 3.5, 5.0))),
        coat=float(rng.uniform(0.45, 0.9)) if rng.random() < 0.14 else 0.0,
        inner=_contrast(rng, top.base, _TOPS) if open_jacket else None,
        emblem=_contrast(rng, top.base, _TOPS) if rng.random() < 0.22 else None,
        bottom=bottom,
        bottom_cut=cut,
        leg_cover=float(cover[cut]),
        shoes=_dye(rng, ("black", "white", "brown", "red", "blue", "grey", "beige")),
        bag=_pick(rng, ("none", "backpack", "shoulder", "handbag"), (5.0, 1.8, 1.8, 1.4)),
        bag_colour=_dye(rng, _TOPS),
        stride=float(rng.uniform(0.36, 0.56)),
        cadence=float(rng.uniform(0.085, 0.125)),
        arm_swing=float(rng.uniform(0.25, 0.6)),
        lean=float(rng.uniform(-0.02, 0.1)),
    )


def _average(fabric: Fabric) -> np.ndarray:
    share = 0.0 if fabric.pattern == "plain" else 0.42
    return (1.0 - share) * np.asarray(fabric.base) + share * np.asarray(fabric.accent)


def _lab(colour: np.ndarray) -> np.ndarray:
    """Return a colour in CIE Lab over 100, where equal distances look about equally large."""
    pixel = colour.astype(np.float32).reshape(1, 1, 3)
    return np.asarray(cv2.cvtColor(pixel, cv2.COLOR_RGB2LAB)).reshape(3) / 100.0


def appearance_distance(a: Person, b: Person) -> float:
    """Return how different two people look from far away: 0 for twins, above 1 for most pairs.

    The distance is the weighted sum of the CIE Lab distances between the mean colours of the tops
    and of the bottoms, plus a constant each if the pattern, the length of the bottoms or of the
    sleeves, or the bag differs.
    """
    distance = float(np.linalg.norm(_lab(_average(a.top)) - _lab(_average(b.top))))
    distance += 0.8 * float(np.linalg.norm(_lab(_average(a.bottom)) - _lab(_average(b.bottom))))
    distance += 0.15 * float(a.top.pattern != b.top.pattern)
    distance += 0.10 * float(abs(a.leg_cover - b.leg_cover) > 0.2)
    distance += 0.06 * float(abs(a.sleeve - b.sleeve) > 0.3)
    distance += 0.05 * float(a.bag != b.bag)
    return distance


def sample_people(seed: int, count: int, stream: int = 0) -> list[Person]:
    """Sample identities of which no two look the same.

    Each person has a random generator of their own and is sampled again while they resemble an
    earlier person, so that a larger sample begins with the people of a smaller one. In a large
    crowd look-alikes cannot be avoided: after 120 attempts the least similar candidate is taken.

    Args:
        seed: seed of the dataset, any whole number from 0.
        count: number of people.
        stream: number of the sample; different numbers lead to different people for the same seed.
    """
    people: list[Person] = []
    for index in range(count):
        rng = np.random.default_rng([seed, _PERSON, stream, index])
        best, best_distance = _sample(rng), -1.0
        candidate = best
        for _ in range(_TRIES):
            nearest = min((appearance_distance(candidate, p) for p in people), default=np.inf)
            if nearest > best_distance:
                best, best_distance = candidate, nearest
            if nearest >= _MIN_DISTANCE:
                break
            candidate = _sample(rng)
        people.append(best)
    return people
