"""Synthetic people in the layout of iLIDS-VID."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nr3d.synthetic.dataset import Progress, write_dataset
from nr3d.synthetic.layout import SyntheticSummary, Tracklet
from nr3d.synthetic.matlab import write_mat
from nr3d.synthetic.settings import CAMERA_SHIFT, OCCLUSION
from nr3d.synthetic.two_cameras import TwoCameraLayout

_FIRST_FRAME = 105


class IlidsVidLayout(TwoCameraLayout):
    """Layout of iLIDS-VID.

    A frame is ``ilids-vid/i-LIDS-VID/sequences/cam1/person001/cam1_person001_00317.png``. The
    splits are written twice: as a MATLAB table, as in the original, and as the ``splits.json`` that
    torchreid makes of that table, but only for exactly 300 people.
    """

    folder = "ilids-vid"
    stream = 2014
    most_identities = 999  # torchreid numbers people by the order of their names

    def person(self, pid: int) -> str:
        """Return the name of a person's folders."""
        return f"person{pid:03d}"

    def first_frame(self, pid: int, camid: int) -> int:
        """Sample the number of a tracklet's first frame, which is not 1 in the original either."""
        rng = np.random.default_rng([self.film_seed, _FIRST_FRAME, pid, camid])
        return int(rng.integers(1, 10_000))

    def path(self, tracklet: Tracklet, number: int) -> str:
        """Return the path of a frame, under the folder of the dataset."""
        camera, person = f"cam{tracklet.camid}", self.person(tracklet.pid)
        return f"i-LIDS-VID/sequences/{camera}/{person}/{camera}_{person}_{number:05d}.png"

    def write_tables(self, folder: Path, plan: Sequence[Tracklet]) -> None:
        """Write the splits as a table, whose rows list the test people first, numbered from 1."""
        splits = self.splits()
        pids = {self.person(pid): pid for pid in range(1, self.identities + 1)}
        table = [[pids[person] for person in (*s["test"], *s["train"])] for s in splits]
        home = folder / "train-test people splits"
        home.mkdir()
        write_mat(home / "train_test_splits_ilidsvid.mat", "ls_set", np.array(table, np.uint16))
        (folder / "splits.json").write_bytes(json.dumps(splits, indent=4).encode())


def write_ilidsvid(
    out: str | Path,
    identities: int = 64,
    seed: int = 0,
    *,
    frames: tuple[int, int] = (6, 10),
    occlusion: str = OCCLUSION,
    occluded: float | None = None,
    camera_shift: float = CAMERA_SHIFT,
    progress: Progress | None = None,
) -> SyntheticSummary:
    """Draw a dataset of walking people in iLIDS-VID's layout, for torchreid's ``ilidsvid``.

    Two cameras see every person once, and there are 10 random splits into halves. The same settings
    and seed lead to the same bytes in every file. ``info/occlusion.txt`` lists which fraction of
    the person is hidden in each frame. An existing dataset with the same settings is left as it is.

    Reference:
        Layout: Wang et al. Person Re-Identification by Video Ranking. ECCV 2014.

    Args:
        out: folder that torchreid is given as ``root``; ``out/ilids-vid`` is written.
        identities: number of people in both halves together, 4 to 999.
        seed: seed of the dataset, any whole number from 0.
        frames: least and greatest number of frames in a tracklet, 1 to 999.
        occlusion, occluded, camera_shift, progress: as for :func:`~nr3d.synthetic.write_mars`. As
            the splits differ, heavy occlusion may show a person of the other half in some of them.

    Raises:
        ConfigError: if an argument is out of its range.
        DataError: if ``out/ilids-vid`` exists and holds something else.

    Examples:
        >>> from nr3d.synthetic import write_ilidsvid
        >>> summary = write_ilidsvid("data", identities=4, seed=1, frames=(1, 2))
        >>> summary.train_tracklets, summary.query, summary.gallery
        (4, 2, 2)
    """
    return write_dataset(
        IlidsVidLayout(identities, seed, frames),
        out,
        occlusion=occlusion,
        occluded=occluded,
        camera_shift=camera_shift,
        progress=progress,
    )
