"""What a dataset's layout on the disk has to say: who is filmed, and where each frame lies."""

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
    """One tracklet to film: who, which camera, which take, and how it is used."""

    pid: int
    camid: int
    number: int
    frames: int
    person: Person
    split: str = ""
    """``'train'`` or ``'test'`` where the layout has one split for all."""
    query: bool = False
    first: int = 1
    """Number of its first frame."""

    @property
    def numbers(self) -> range:
        """Numbers of its frames."""
        return range(self.first, self.first + self.frames)


@dataclass(frozen=True)
class SyntheticSummary:
    """What was written, or found already written; of several splits, in each.

    Args:
        root: torchreid's ``root``, which holds the dataset's folder.
        identities: people in the train and test halves together, distractors not counted.
        seed: the dataset's seed.
        train_identities: people in the train half.
        test_identities: people in the test half.
        train_tracklets: tracklets in the train half.
        query: query tracklets.
        gallery: gallery tracklets without the queries, as torchreid counts; distractors included.
        frames: frames on disk.
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
    """A dataset of some people in its layout.

    Args:
        identities: people in both halves together, 4 to ``most_identities``.
        seed: any whole number from 0.
        frames: least and greatest number of frames of a tracklet, 1 to 999.
        cameras: how many.

    Attributes:
        film_seed: what people, cameras and tracklets are drawn from.

    Raises:
        ConfigError: an argument is out of its range.
    """

    folder: ClassVar[str]
    """The dataset's folder under torchreid's root."""
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
        """People to train; of an odd number, one more than to test."""
        return self.identities - self.identities // 2

    def length(self, pid: int, camid: int, number: int) -> int:
        """Draw the number of frames of a tracklet."""
        rng = np.random.default_rng([self.film_seed, _LENGTH, pid, camid, number])
        return int(rng.integers(self.frames[0], self.frames[1] + 1))

    def settings(self) -> dict[str, object]:
        """Give what tells this dataset from another in the same place."""
        return {"identities": self.identities, "seed": self.seed, "frames": list(self.frames)}

    @abstractmethod
    def plan(self) -> list[Tracklet]:
        """List all tracklets to film."""

    @abstractmethod
    def path(self, tracklet: Tracklet, number: int) -> str:
        """Give the path of a frame under the dataset's folder; its ending is the format."""

    def label(self, tracklet: Tracklet, number: int) -> str:
        """Give what a frame is called in the list of occlusions: its file's name."""
        return PurePosixPath(self.path(tracklet, number)).name

    @abstractmethod
    def write_tables(self, folder: Path, plan: Sequence[Tracklet]) -> None:
        """Write the tables or splits that lie beside the frames."""

    @abstractmethod
    def summary(self, root: Path, plan: Sequence[Tracklet]) -> SyntheticSummary:
        """Count what the plan holds."""
