"""The datasets that nr3d reads itself: their folders and their readers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nr3d.data.converted.reading import read_converted
from nr3d.data.datasets.findings import Report
from nr3d.data.datasets.ilidsvid import read_ilidsvid
from nr3d.data.datasets.mars import read_mars
from nr3d.data.datasets.parts import Parts
from nr3d.data.datasets.prid2011 import read_prid2011
from nr3d.errors import ConfigError


@dataclass(frozen=True)
class Layout:
    """The layout of a dataset.

    Args:
        folder: name of its folder under the root.
        read: function that returns the tracklets of a split, or reports why it cannot read them.
    """

    folder: str
    read: Callable[[Report, int], Parts | None]


LAYOUTS = {
    "mars": Layout("mars", lambda report, _: read_mars(report)),
    "prid2011": Layout("prid2011", read_prid2011),
    "ilidsvid": Layout("ilids-vid", read_ilidsvid),
}
"""Layouts of published datasets, by torchreid's names."""


def layout_of(name: str) -> Layout:
    """Return the layout of a dataset; a name that is not published is that of a converted one."""
    return LAYOUTS.get(name) or Layout(name, read_converted)


def refuse_other_name(name: str, folder: Path) -> None:
    """Refuse the name of a dataset's folder in place of torchreid's name for the dataset.

    Raises:
        ConfigError: if the name is that of a folder.
    """
    for known, layout in LAYOUTS.items():
        if name == layout.folder != known:
            raise ConfigError(
                f"The dataset in {folder} is called {known!r} by torchreid: give {known}."
            )


def read_tracklets(name: str, root: Path, split_id: int) -> Parts:
    """Read the tracklets of a dataset, from tables in which a check finds no error.

    Whatever :func:`nr3d.checking.check_dataset` passes can therefore be loaded, and anything else
    is refused in the words of its finding. Whether the frames exist and can be decoded only shows
    when they are read.

    Args:
        name: one of :data:`LAYOUTS`, or the folder of a converted dataset.
        root: folder that holds the datasets' folders.
        split_id: number of the split of PRID2011 and iLIDS-VID, from 0.

    Raises:
        DataError: if an error was found; the message is that of the first one.
        ConfigError: if there is no such split.
    """
    layout = layout_of(name)
    report = Report(name, root / layout.folder)
    parts = None
    try:
        parts = layout.read(report, split_id)
    except OSError as error:
        report.add_refusal(error)
    report.raise_first_error(root)
    assert parts is not None
    return parts
