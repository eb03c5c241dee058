"""The datasets whose layout is known: their folders, and what checks and reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nr3d.checking.converted import check_converted, read_converted
from nr3d.checking.findings import Report
from nr3d.checking.ilidsvid import check_ilidsvid, read_ilidsvid
from nr3d.checking.mars import check_mars, read_mars
from nr3d.checking.parts import Parts
from nr3d.checking.prid2011 import check_prid2011, read_prid2011
from nr3d.errors import ConfigError, DataError, printable, reason_of


@dataclass(frozen=True)
class Layout:
    """A dataset's.

    Args:
        folder: its name under the root.
        check: reports all that is wrong, and gives the frames that are used and there.
        read: gives the tracklets of a split, or reports why it cannot.
    """

    folder: str
    check: Callable[[Report], list[str]]
    read: Callable[[Report, int], Parts | None]


LAYOUTS = {
    "mars": Layout("mars", check_mars, lambda report, _: read_mars(report)),
    "prid2011": Layout("prid2011", check_prid2011, read_prid2011),
    "ilidsvid": Layout("ilids-vid", check_ilidsvid, read_ilidsvid),
}
"""By torchreid's names."""


def layout_of(name: str) -> Layout:
    """Give a dataset's layout; of a name that torchreid has no layout for, a converted one's."""
    return LAYOUTS.get(name) or Layout(name, check_converted, read_converted)


def refuse_other_name(name: str, folder: Path) -> None:
    """Refuse the name of a dataset's folder where torchreid's name is expected.

    Raises:
        ConfigError: if it is one.
    """
    for known, layout in LAYOUTS.items():
        if name == layout.folder != known:
            raise ConfigError(
                f"The dataset in {folder} is called {known!r} by torchreid: give {known}."
            )


def checked(report: Report, layout: Layout) -> list[str]:
    """Check a dataset, and report a folder or file of it that the system does not give.

    Returns:
        list: the frames that are used and there.
    """
    try:
        return layout.check(report)
    except OSError as error:
        _refused(report, error)
        return []


def read_tracklets(name: str, root: Path, split_id: int) -> Parts:
    """Read a dataset's tracklets, of tables in which a check finds no error.

    So what a check passes can be loaded, and what cannot is said in the check's own words. Whether
    the frames are there, and can be decoded, is seen when they are read.

    Args:
        name: of :data:`LAYOUTS`, or the folder of a converted dataset.
        root: folder that holds the datasets' folders.
        split_id: split of PRID2011 and iLIDS-VID, from 0.

    Raises:
        DataError: with the first error that was found.
        ConfigError: if there is no such split.
    """
    layout = layout_of(name)
    report = Report(name, root / layout.folder)
    parts = None
    try:
        parts = layout.read(report, split_id)
    except OSError as error:
        _refused(report, error)
    errors = report.of("error")
    if errors or parts is None:
        found = errors[0]
        where = found.places[0] if found.places else ""
        where = f": {printable(where)}" if where else ""
        more = f" and {len(found.places) - 1:,} more" if len(found.places) > 1 else ""
        raise DataError(
            f"Dataset {name!r} cannot be loaded from {root}: {found.what}{where}{more}. "
            f"{found.mend}"
        )
    return parts


def _refused(report: Report, error: OSError) -> None:
    path = report.folder if error.filename is None else error.filename
    report.add(
        "error",
        f"{path} cannot be read ({error.strerror or reason_of(error)})",
        "Make it readable for the user that runs this, or restore it.",
    )
