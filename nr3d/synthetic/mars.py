"""Synthetic people in the layout of MARS: several cameras and takes, distractors, one split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nr3d.synthetic.checks import check_whole
from nr3d.synthetic.dataset import Progress, sample_strangers, write_dataset
from nr3d.synthetic.layout import Layout, SyntheticSummary, Tracklet
from nr3d.synthetic.matlab import write_mat
from nr3d.synthetic.people import Person, sample_people
from nr3d.synthetic.settings import CAMERA_SHIFT, OCCLUSION


class MarsLayout(Layout):
    """Layout of MARS.

    A frame is ``mars/bbox_train/0001/0001C1T0001F001.jpg``, or in ``bbox_test``; the tables are in
    ``info``.

    Args:
        identities: number of people in both halves together, 4 to 9999.
        seed: seed of the dataset, any whole number from 0.
        frames: least and greatest number of frames in a tracklet, 1 to 999.
        cameras: number of cameras, 2 to 6.
        tracklets_per_camera: number of tracklets of a person under each camera, 1 to 99.
    """

    folder = "mars"

    def __init__(
        self,
        identities: int,
        seed: int,
        frames: tuple[int, int],
        cameras: int,
        tracklets_per_camera: int,
    ) -> None:
        check_whole("tracklets_per_camera", tracklets_per_camera, 1, 99)
        check_whole("cameras", cameras, 2, 6)
        super().__init__(identities, seed, frames, cameras)
        self.takes = int(tracklets_per_camera)

    def settings(self) -> dict[str, object]:
        """Return the settings that distinguish this dataset from others in the same place."""
        own = {"tracklets_per_camera": self.takes, "cameras": self.cameras}
        return {**super().settings(), **own}

    def plan(self) -> list[Tracklet]:
        """Return all tracklets in the order of MARS's tables: distractors before test people."""
        people = sample_people(self.film_seed, self.identities)
        strangers = sample_strangers(self.film_seed)
        distractors = []
        for index in range(min(len(strangers), max(2, self.identities // 8))):
            camid, number = 1 + index % self.cameras, 1 + index // self.cameras
            distractors.append(self._tracklet(0, camid, number, strangers[index], False))
        distractors.sort(key=lambda item: (item.camid, item.number))
        takes = [take for pid, who in enumerate(people, start=1) for take in self._takes(pid, who)]
        train = [take for take in takes if take.split == "train"]
        return [*train, *distractors, *takes[len(train) :]]

    def _takes(self, pid: int, person: Person) -> list[Tracklet]:
        found = []
        for camid in range(1, self.cameras + 1):
            # with one take a camera, every second camera keeps its take in the gallery
            asks = pid > self.train_identities and (self.takes > 1 or (camid + pid) % 2 == 0)
            for number in range(1, self.takes + 1):
                found.append(self._tracklet(pid, camid, number, person, asks and number == 1))
        return found

    def _tracklet(self, pid: int, camid: int, number: int, person: Person, query: bool) -> Tracklet:
        split = "train" if 0 < pid <= self.train_identities else "test"
        length = self.length(pid, camid, number)
        return Tracklet(pid, camid, number, length, person, split, query)

    def path(self, tracklet: Tracklet, number: int) -> str:
        """Return the path of a frame, under the folder of the dataset."""
        name = f"{tracklet.pid:04d}C{tracklet.camid}T{tracklet.number:04d}F{number:03d}.jpg"
        return f"bbox_{tracklet.split}/{tracklet.pid:04d}/{name}"

    def write_tables(self, folder: Path, plan: Sequence[Tracklet]) -> None:
        """Write the lists of frame names, the track tables and the row numbers of the queries."""
        info = folder / "info"
        for split in ("train", "test"):
            names: list[str] = []
            rows = []
            for tracklet in plan:
                if tracklet.split == split:
                    first = len(names) + 1
                    names += [self.label(tracklet, number) for number in tracklet.numbers]
                    rows.append((first, len(names), tracklet.pid, tracklet.camid))
            (info / f"{split}_name.txt").write_bytes("".join(f"{n}\n" for n in names).encode())
            table = np.array(rows, np.int32)
            write_mat(info / f"tracks_{split}_info.mat", f"track_{split}_info", table)
        tests = [tracklet for tracklet in plan if tracklet.split == "test"]
        queries = [row for row, tracklet in enumerate(tests, start=1) if tracklet.query]
        write_mat(info / "query_IDX.mat", "query_IDX", np.array([queries], np.int32))

    def counts(self, plan: Sequence[Tracklet]) -> tuple[int, int, int]:
        """Return the numbers of train, query and gallery tracklets in the plan."""
        tests = [tracklet for tracklet in plan if tracklet.split == "test"]
        queries = sum(tracklet.query for tracklet in tests)
        return len(plan) - len(tests), queries, len(tests) - queries


def write_mars(
    out: str | Path,
    identities: int = 64,
    seed: int = 0,
    *,
    tracklets_per_camera: int = 2,
    cameras: int = 4,
    frames: tuple[int, int] = (6, 10),
    occlusion: str = OCCLUSION,
    occluded: float | None = None,
    camera_shift: float = CAMERA_SHIFT,
    progress: Progress | None = None,
) -> SyntheticSummary:
    """Draw a dataset of walking people in MARS's layout, which torchreid's ``mars`` loads.

    The first half of the identities is for training, the other half for testing. The same settings
    and seed lead to the same bytes in every file. ``info/occlusion.txt`` lists which fraction of
    the person is hidden in each frame. An existing dataset with the same settings is left as it is.

    Reference:
        Layout: Zheng et al. MARS: A Video Benchmark for Large-Scale Person Re-identification.
        ECCV 2016.

    Args:
        out: folder that torchreid is given as ``root``; ``out/mars`` is written.
        identities: number of people in both halves together, 4 to 9999.
        seed: seed of the dataset, any whole number from 0.
        tracklets_per_camera: number of tracklets of a person under each camera, 1 to 99.
        cameras: number of cameras, 2 to 6.
        frames: least and greatest number of frames in a tracklet, 1 to 999.
        occlusion: ``'usual'``: something passes in front of the person for a few frames; or
            ``'heavy'``: about half the frames of a tracklet show another person in front of or
            instead of the tracked one, only background or a small part of the person, and
            ``info/frames.csv`` says what is wrong with each (:func:`~nr3d.synthetic.read_frames`);
            the other person is always of the same half.
        occluded: share of the tracklets that suffer from it, 0 to 1; None for 0.2 in ``'usual'``
            and 0.9 in ``'heavy'``.
        camera_shift: factor for the differences between the cameras' colour casts, exposure, gamma
            and haze, 0 to 4; 0 makes all cameras the same, 2 doubles their deviations.
        progress: function that wraps the list of tracklets while they are drawn, as ``tqdm`` does.

    Raises:
        ConfigError: if an argument is out of its range.
        DataError: if ``out/mars`` exists and holds something else.

    Examples:
        >>> from nr3d.synthetic import write_mars
        >>> summary = write_mars("data", identities=4, seed=1, cameras=2, frames=(1, 2))
        >>> summary.train_tracklets, summary.query, summary.gallery
        (8, 4, 6)
    """
    return write_dataset(
        MarsLayout(identities, seed, frames, cameras, tracklets_per_camera),
        out,
        occlusion=occlusion,
        occluded=occluded,
        camera_shift=camera_shift,
        progress=progress,
    )
