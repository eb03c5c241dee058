"""Troubles of a detector and tracker: boxes that show someone else, nobody or half a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nr3d.synthetic.cameras import Camera
from nr3d.synthetic.fabric import Array
from nr3d.synthetic.paint import View
from nr3d.synthetic.people import Person

TROUBLES = {"passer-by": 0.25, "other person": 0.1, "background": 0.2, "partial box": 0.45}
"""Kinds of trouble, with their shares of the bad stretches."""

LEAST_COVER = 0.6
"""Least fraction of the tracked person that a passer-by hides."""

_SIDES = ((-1, 0), (1, 0), (0, -1), (0, 1))


@dataclass(frozen=True)
class Trouble:
    """A trouble that lasts for a stretch of frames.

    Args:
        kind: kind of trouble, one of ``TROUBLES``.
        side: direction in which the box is away from the tracked person, in columns and rows.
        away: distance of the box as a fraction of its size, or, of a partial box, the fraction of
            the person that is still inside.
        pid: identity of the other person in the box; None if there is none.
        person: appearance of the other person; None if there is none.
        turn: difference between the directions of the other and the tracked person, in radians.
        size: scale factor of the other person.
        aside: distance of the other person from the middle, as a fraction of the frame's width.
        below: distance of the other person's feet below those of the tracked person, as a fraction
            of the frame's height.
        phase: difference between the gait phases of the other and the tracked person.
    """

    kind: str
    side: tuple[int, int] = (0, 0)
    away: float = 0.0
    pid: int | None = None
    person: Person | None = None
    turn: float = 0.0
    size: float = 1.0
    aside: float = 0.0
    below: float = 0.0
    phase: float = 0.0

    def shift(self, silhouette: Array, shape: tuple[int, int]) -> tuple[int, int]:
        """Return the columns and rows by which the box is away from its usual place.

        Args:
            silhouette: opacity of the whole person, of shape (3H, 3W), with the usual box in the
                middle.
            shape: rows and columns of the box, H and W.
        """
        height, width = shape
        right, down = self.side
        if self.kind != "partial box":
            return right * round(self.away * width), down * round(self.away * height)
        # the box ends where it still holds the wanted fraction of the person
        start, end, sums = (width, 2 * width, 0) if right else (height, 2 * height, 1)
        mass = np.cumsum(silhouette.sum(axis=sums))
        share = self.away if right + down < 0 else 1.0 - self.away
        edge = int(np.searchsorted(mass, share * mass[-1]))
        moved = edge - end if right + down < 0 else edge - start + 1
        return (moved, 0) if right else (0, moved)

    def view(self, person: Person, usual: View, camera: Camera) -> View:
        """Return the view of the other person in a frame.

        Args:
            person: the other person.
            usual: view of the tracked person in the usual box.
            camera: camera that films.
        """
        height, width = camera.shape
        return View(
            usual.yaw + self.turn,
            usual.pitch,
            camera.fill * height / person.height * self.size,
            usual.x + self.aside * width,
            usual.ground + self.below * height,
        )


def _stretches(rng: np.random.Generator, frames: int) -> list[range]:
    """Sample one or two stretches of together 40 to 60 % of the frames, and never all of them."""
    bad = min(round(frames * float(rng.uniform(0.4, 0.6))), frames - 1)
    if bad < 1:
        return []
    good = frames - bad
    if bad < 4 or good < 2 or rng.random() < 0.5:
        # in the middle, so that the first frames and the last ones are good
        before = int(rng.integers(1, good)) if good > 1 else int(rng.integers(0, 2))
        return [range(before, before + bad)]
    first = int(rng.integers(2, bad - 1))
    between = int(rng.integers(1, good))
    before = int(rng.integers(0, good - between + 1))
    second = before + first + between
    return [range(before, before + first), range(second, second + bad - first)]


def _sample_trouble(rng: np.random.Generator, others: Sequence[tuple[int, Person]]) -> Trouble:
    kinds = list(TROUBLES)
    kind = kinds[int(rng.choice(len(kinds), p=list(TROUBLES.values())))]
    side = (int(rng.choice([-1, 1])), 0)
    if kind == "background":
        return Trouble(kind, side, float(rng.uniform(1.1, 2.0)))
    if kind == "partial box":
        side = _SIDES[int(rng.integers(len(_SIDES)))]
        return Trouble(kind, side, float(rng.uniform(0.1, 0.3)))
    pid, person = others[int(rng.integers(len(others)))]
    turn = float(rng.normal(0.0, 0.2))
    if kind == "other person":
        return Trouble(
            kind,
            side,
            float(rng.uniform(0.8, 1.4)),
            pid,
            person,
            turn,
            size=float(rng.uniform(0.95, 1.05)),
            aside=float(rng.normal(0.0, 0.02)),
            phase=float(rng.uniform()),
        )
    return Trouble(
        kind,
        pid=pid,
        person=person,
        turn=turn,
        size=float(rng.uniform(1.0, 1.15)),
        aside=float(rng.uniform(-0.12, 0.12)),
        below=float(rng.uniform(0.02, 0.06)),
        # in step, as people in company walk; the legs cover the legs
        phase=float(rng.normal(0.0, 0.05)),
    )


def sample_troubles(
    rng: np.random.Generator, frames: int, others: Sequence[tuple[int, Person]]
) -> list[Trouble | None]:
    """Sample the troubles of a tracklet: for each frame one, or None if the frame is good.

    Args:
        rng: random generator of the troubles of the tracklet.
        frames: number of frames of the tracklet.
        others: identities and appearances of the people whom the tracklet may show instead.
    """
    troubles: list[Trouble | None] = [None] * frames
    for stretch in _stretches(rng, frames):
        trouble = _sample_trouble(rng, others)
        for frame in stretch:
            troubles[frame] = trouble
    return troubles
