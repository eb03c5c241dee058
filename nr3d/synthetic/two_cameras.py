"""The common layout of PRID2011 and iLIDS-VID: two cameras, and ten splits into halves."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from nr3d.data.datasets.half_splits import half_splits
from nr3d.synthetic.layout import Layout, Tracklet
from nr3d.synthetic.people import sample_people

NUM_SPLITS = 10


class TwoCameraLayout(Layout):
    """Layout in which each of two cameras sees every person once, in frames of 128 x 64 pixels.

    Layouts with the same seed have different people and cameras, so that training on one and
    testing on another is as meaningful as it is with the real datasets.

    Args:
        identities: number of people in both halves together, 4 to ``most_identities``.
        seed: seed of the dataset, any whole number from 0.
        frames: least and greatest number of frames in a tracklet, 1 to 999.
    """

    size = (128, 64)
    stream: ClassVar[int]

    def __init__(self, identities: int, seed: int, frames: tuple[int, int]) -> None:
        super().__init__(identities, seed, frames, cameras=2)
        state = np.random.SeedSequence([self.seed, self.stream]).generate_state(1, np.uint64)
        self.film_seed = int(state[0])

    @abstractmethod
    def person(self, pid: int) -> str:
        """Return the name of a person's folders; the names sort in the order of the numbers."""

    def first_frame(self, pid: int, camid: int) -> int:
        """Return the number of a tracklet's first frame."""
        return 1

    def plan(self) -> list[Tracklet]:
        """Return all tracklets, person by person."""
        people = sample_people(self.film_seed, self.identities)
        return [
            Tracklet(
                pid,
                camid,
                1,
                self.length(pid, camid, 1),
                person,
                first=self.first_frame(pid, camid),
            )
            for pid, person in enumerate(people, start=1)
            for camid in (1, 2)
        ]

    def splits(self) -> list[dict[str, list[str]]]:
        """Sample the splits: for each, the names of the people for training and for testing."""
        names = [self.person(pid) for pid in range(1, self.identities + 1)]
        return half_splits(names, self.seed, NUM_SPLITS)

    def counts(self, plan: Sequence[Tracklet]) -> tuple[int, int, int]:
        """Return the counts of the plan: camera 1 has the queries and camera 2 the gallery."""
        tests = self.identities - self.train_identities
        return 2 * self.train_identities, tests, tests
