"""Synthetic people in the layout of iLIDS-VID."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nr3d.synthetic.dataset import CAMERA_SHIFT, OCCLUDED, Progress, write_dataset
from nr3d.synthetic.layout import SyntheticSummary, Tracklet
from nr3d.synthetic.matlab import write_mat
from nr3d.synthetic.two_cameras import TwoCameraLayout

_FIRST_FRAME = 105


class IlidsVidLayout(TwoCameraLayout):
    """``ilids-vid/i-LIDS-VID/sequences/cam1/person001/cam1_person001_00317.png`` and splits.

    The splits are there twice: as the original's MATLAB table, and as the ``splits.json`` that
    torchreid makes of it, which it does for exactly 300 people only.
    """

    folder = "ilids-vid"
    stream = 2014
    most_identities = 999  # torchreid counts people by the order of their names

    def person(self, pid: int) -> str:
        """Give the name of a person's folders."""
        return f"person{pid:03d}"

    def first_frame(self, pid: int, camid: int) -> int:
        """Draw the number of a tracklet's first frame: the original's go on from somewhere."""
        rng = np.random.default_rng([self.film_seed, _FIRST_FRAME, pid, camid])
        return int(rng.integers(1, 10_000))

    def path(self, tracklet: Tracklet, number: int) -> str:
        """Give iLIDS-VID's path of a frame."""
        camera, person = f"cam{tracklet.camid}", self.person(tracklet.pid)
        return f"i-LIDS-VID/sequences/{camera}/{person}/{camera}_{person}_{number:05d}.png"

    def write_tables(self, folder: Path, plan: Sequence[Tracklet]) -> None:
        """Write the splits, splits × people: the first half of a row tests, values from 1."""
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
    occluded: float = OCCLUDED,
    camera_shift: float = CAMERA_SHIFT,
    progress: Progress | None = None,
) -> SyntheticSummary:
    """Draw a dataset of walking people in iLIDS-VID's layout, for torchreid's ``ilidsvid``.

    Two cameras with one tracklet of everybody under each, and 10 random splits into halves. Same
    settings and seed, same bytes in every file. ``info/occlusion.txt`` tells for each frame which
    fraction of the person is hidden. A dataset that is already there with the same settings is left
    as it is.

    Reference:
        Layout: Wang et al. Person Re-Identification by Video Ranking. ECCV 2014.

    Args:
        out: torchreid's root; ``out/ilids-vid`` is written.
        identities: people in both halves together, 4 to 999.
        seed: any whole number from 0.
        frames: least and greatest number of frames of a tracklet, 1 to 999.
        occluded: share of the tracklets that something passes in front of, 0 to 1.
        camera_shift: as for :func:`write_mars`.
        progress: wraps the list of tracklets while they are drawn, as ``tqdm`` does.

    Raises:
        ConfigError: an argument is out of its range.
        DataError: ``out/ilids-vid`` exists and is something else.

    Examples::

        from nr3d.synthetic import write_ilidsvid
        write_ilidsvid("data", identities=8, seed=1)
        torchreid.data.VideoDataManager(root="data", sources="ilidsvid", split_id=9)
    """
    return write_dataset(
        IlidsVidLayout(identities, seed, frames),
        out,
        occluded=occluded,
        camera_shift=camera_shift,
        progress=progress,
    )
