"""Synthetic people in the layout of PRID2011."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from nr3d.synthetic.dataset import CAMERA_SHIFT, OCCLUDED, Progress, write_dataset
from nr3d.synthetic.layout import SyntheticSummary, Tracklet
from nr3d.synthetic.two_cameras import TwoCameraLayout


class Prid2011Layout(TwoCameraLayout):
    """``prid2011/prid_2011/multi_shot/cam_a/person_0001/0001.png`` and ``splits_prid2011.json``."""

    folder = "prid2011"
    stream = 2011

    def person(self, pid: int) -> str:
        """Give the name of a person's folders."""
        return f"person_{pid:04d}"

    def path(self, tracklet: Tracklet, number: int) -> str:
        """Give PRID2011's path of a frame."""
        return f"prid_2011/multi_shot/{self.label(tracklet, number)}"

    def label(self, tracklet: Tracklet, number: int) -> str:
        """Give a frame's path under ``multi_shot``: its name alone is not the only one."""
        camera = "cam_a" if tracklet.camid == 1 else "cam_b"
        return f"{camera}/{self.person(tracklet.pid)}/{number:04d}.png"

    def write_tables(self, folder: Path, plan: Sequence[Tracklet]) -> None:
        """Write the splits in torchreid's form."""
        text = json.dumps(self.splits(), indent=4)
        (folder / "splits_prid2011.json").write_bytes(text.encode())


def write_prid2011(
    out: str | Path,
    identities: int = 64,
    seed: int = 0,
    *,
    frames: tuple[int, int] = (6, 10),
    occluded: float = OCCLUDED,
    camera_shift: float = CAMERA_SHIFT,
    progress: Progress | None = None,
) -> SyntheticSummary:
    """Draw a dataset of walking people in PRID2011's layout, for torchreid's ``prid2011``.

    Two cameras with one tracklet of everybody under each, and 10 random splits into halves. Same
    settings and seed, same bytes in every file. ``info/occlusion.txt`` tells for each frame which
    fraction of the person is hidden. A dataset that is already there with the same settings is left
    as it is.

    Reference:
        Layout: Hirzer et al. Person Re-Identification by Descriptive and Discriminative
        Classification. SCIA 2011.

    Args:
        out: torchreid's root; ``out/prid2011`` is written.
        identities: people in both halves together, 4 to 9999.
        seed: any whole number from 0.
        frames: least and greatest number of frames of a tracklet, 1 to 999.
        occluded: share of the tracklets that something passes in front of, 0 to 1.
        camera_shift: as for :func:`write_mars`.
        progress: wraps the list of tracklets while they are drawn, as ``tqdm`` does.

    Raises:
        ConfigError: an argument is out of its range.
        DataError: ``out/prid2011`` exists and is something else.

    Examples::

        from nr3d.synthetic import write_prid2011
        write_prid2011("data", identities=8, seed=1)
        torchreid.data.VideoDataManager(root="data", sources="prid2011", split_id=9)
    """
    return write_dataset(
        Prid2011Layout(identities, seed, frames),
        out,
        occluded=occluded,
        camera_shift=camera_shift,
        progress=progress,
    )
