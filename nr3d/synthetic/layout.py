"""Layouts of synthetic datasets on the disk: who is filmed, and the place of each frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np

from nr3d.synthetic.cameras import FRAME_HEIGHT, FRAME_WIDTH
from nr3d.synthetic.checks import check_whole
from nr3d.synthetic.people import Person

_LENGTH = 104


@dataclass(frozen=True)
class Tracklet:
    """A tracklet to film.

    Args:
        pid: identity of the person; 0 for distractors.
        camid: number of the camera, from 1.
        number: number of the take among those of the person under the camera, from 1.
        frames: number of frames.
        person: appearance of the person.
        split: ``'train'`` or ``'test'`` in a layout with a single split, else empty.
        query: whether the tracklet is a query.
        first: number of the first frame.
    """

    pid: int
    camid: int
    number: int
    frames: int
    person: Person
    split: str = ""
    query: bool = False
    first: int = 1

    @property
    def numbers(self) -> range:
        """Numbers of the frames."""
        return range(self.first, self.first + self.frames)


@dataclass(frozen=True)
class SyntheticSummary:
    """Counts of a synthetic dataset; with several splits, those of each split.

    Args:
        root: folder that torchreid is given as ``root``, which holds the dataset's folder.
        identities: number of people in both halves together, without distractors.
        seed: seed of the dataset.
        train_identities: number of people in the train half.
        test_identities: number of people in the test half.
        train_tracklets: number of tracklets in the train half.
        query: number of query tracklets.
        gallery: number of gallery tracklets, with distractors but, as torchreid counts, without the
            queries.
        frames: number of frames on the disk.
        cameras: number of cameras.
    """

    root: Path
    identities: int
    seed: int
    train_identities: int
    test_identities: int
    train_tracklets: int
    query: int
    gallery: int
    frames: int
    cameras: int


class Layout(ABC):
    """A synthetic dataset in the layout of a real one.

    Args:
        identities: number of people in both halves together, 4 to ``most_identities``.
        seed: seed of the dataset, any whole number from 0.
        frames: least and greatest number of frames in a tracklet, 1 to 999.
        cameras: number of cameras.

    Attributes:
        film_seed: seed from which people, cameras and tracklets are sampled.

    Raises:
        ConfigError: if an argument is out of its range.
    """

    folder: ClassVar[str]
    """Folder of the dataset under torchreid's root."""
    size: ClassVar[tuple[int, int]] = (FRAME_HEIGHT, FRAME_WIDTH)
    """Rows and columns of a frame."""
    most_identities: ClassVar[int] = 9999

    def __init__(self, identities: int, seed: int, frames: tuple[int, int], cameras: int) -> None:
        low, high = frames
        check_whole("identities", identities, 4, self.most_identities)
        check_whole("seed", seed, 0, 2**63 - 1)
        check_whole("frames (least)", low, 1, 999)
        check_whole("frames (greatest)", high, low, 999)
        self.identities, self.seed, self.cameras = int(identities), int(seed), int(cameras)
        self.frames = (int(low), int(high))
        self.film_seed = self.seed

    @property
    def train_identities(self) -> int:
        """Number of people in the train half; of an odd number, one more than in the test half."""
        return self.identities - self.identities // 2

    def length(self, pid: int, camid: int, number: int) -> int:
        """Sample the number of frames of a tracklet."""
        rng = np.random.default_rng([self.film_seed, _LENGTH, pid, camid, number])
        return int(rng.integers(self.frames[0], self.frames[1] + 1))

    def settings(self) -> dict[str, object]:
        """Return the settings that distinguish this dataset from others in the same place."""
        return {"identities": self.identities, "seed": self.seed, "frames": list(self.frames)}

    @abstractmethod
    def plan(self) -> list[Tracklet]:
        """Return all tracklets to film."""

    @abstractmethod
    def path(self, tracklet: Tracklet, number: int) -> str:
        """Return the path of a frame under the folder of the dataset; its suffix is the format."""

    def label(self, tracklet: Tracklet, number: int) -> str:
        """Return the name of a frame in the list of occlusions, which is its file name."""
        return PurePosixPath(self.path(tracklet, number)).name

    @abstractmethod
    def write_tables(self, folder: Path, plan: Sequence[Tracklet]) -> None:
        """Write the tables or splits of the dataset."""

    @abstractmethod
    def counts(self, plan: Sequence[Tracklet]) -> tuple[int, int, int]:
        """Return the numbers of train, query and gallery tracklets in the plan."""

    def summary(self, root: Path, plan: Sequence[Tracklet]) -> SyntheticSummary:
        """Return the numbers of people, tracklets and frames in the plan."""
        train, query, gallery = self.counts(plan)
        return SyntheticSummary(
            root=root,
            identities=self.identities,
            seed=self.seed,
            train_identities=self.train_identities,
            test_identities=self.identities - self.train_identities,
            train_tracklets=train,
            query=query,
            gallery=gallery,
            frames=sum(tracklet.frames for tracklet in plan),
            cameras=self.cameras,
        )
