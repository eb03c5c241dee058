"""Synthetic people in the layout of PRID2011."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from nr3d.synthetic.dataset import Progress, write_dataset
from nr3d.synthetic.layout import SyntheticSummary, Tracklet
from nr3d.synthetic.settings import CAMERA_SHIFT, OCCLUSION
from nr3d.synthetic.two_cameras import TwoCameraLayout


class Prid2011Layout(TwoCameraLayout):
    """Layout of PRID2011.

    A frame is ``prid2011/prid_2011/multi_shot/cam_a/person_0001/0001.png``; the splits are in
    ``prid2011/splits_prid2011.json``.
    """

    folder = "prid2011"
    stream = 2011

    def person(self, pid: int) -> str:
        """Return the name of a person's folders."""
        return f"person_{pid:04d}"

    def path(self, tracklet: Tracklet, number: int) -> str:
        """Return the path of a frame, under the folder of the dataset."""
        return f"prid_2011/multi_shot/{self.label(tracklet, number)}"

    def label(self, tracklet: Tracklet, number: int) -> str:
        """Return the path of a frame under ``multi_shot``, because its file name is not unique."""
        camera = "cam_a" if tracklet.camid == 1 else "cam_b"
        return f"{camera}/{self.person(tracklet.pid)}/{number:04d}.png"

    def write_tables(self, folder: Path, plan: Sequence[Tracklet]) -> None:
        """Write the splits in the form that torchreid reads."""
        text = json.dumps(self.splits(), indent=4)
        (folder / "splits_prid2011.json").write_bytes(text.encode())


def write_prid2011(
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
    """Draw a dataset of walking people in PRID2011's layout, for torchreid's ``prid2011``.

    Two cameras see every person once, and there are 10 random splits into halves. The same settings
    and seed lead to the same bytes in every file. ``info/occlusion.txt`` lists which fraction of
    the person is hidden in each frame. An existing dataset with the same settings is left as it is.

    Reference:
        Layout: Hirzer et al. Person Re-Identification by Descriptive and Discriminative
        Classification. SCIA 2011.

    Args:
        out: folder that torchreid is given as ``root``; ``out/prid2011`` is written.
        identities: number of people in both halves together, 4 to 9999.
        seed: seed of the dataset, any whole number from 0.
        frames: least and greatest number of frames in a tracklet, 1 to 999.
        occlusion, occluded, camera_shift, progress: as for :func:`~nr3d.synthetic.write_mars`. As
            the splits differ, heavy occlusion may show a person of the other half in some of them.

    Raises:
        ConfigError: if an argument is out of its range.
        DataError: if ``out/prid2011`` exists and holds something else.

    Examples:
        >>> from nr3d.synthetic import write_prid2011
        >>> summary = write_prid2011("data", identities=4, seed=1, frames=(1, 2))
        >>> summary.train_tracklets, summary.query, summary.gallery
        (4, 2, 2)
    """
    return write_dataset(
        Prid2011Layout(identities, seed, frames),
        out,
        occlusion=occlusion,
        occluded=occluded,
        camera_shift=camera_shift,
        progress=progress,
    )
