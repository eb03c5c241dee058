"""iLIDS-VID: its two cameras' folders, its table of splits and the file made from it."""

from __future__ import annotations

from collections.abc import Mapping

from nr3d.data.checking.findings import Report
from nr3d.data.checking.layout import find_missing
from nr3d.data.checking.tables import read_table
from nr3d.data.checking.two_cameras import People, check_sequences, check_splits, people_under
from nr3d.data.splits import (
    ILIDSVID_TABLE,
    SPLIT_FILES,
    Split,
    is_synthetic,
    parse_splits,
    splits_mend,
)
from nr3d.data.tree import names_in
from nr3d.errors import DataError

PUBLISHED = {
    "people under cam1": 300,
    "people under cam2": 300,
    "splits": 10,
    "train people a split": 150,
    "test people a split": 150,
}
"""Reference:
    Wang et al. Person Re-Identification by Video Ranking. ECCV 2014.
"""

_CAMERAS = ("i-LIDS-VID/sequences/cam1", "i-LIDS-VID/sequences/cam2")
_SPLITS, _PEOPLE = 10, 300
"""What torchreid asks of the table that it makes the splits from."""


def check_ilidsvid(report: Report) -> list[str]:
    """Check all of iLIDS-VID but whether its frames can be decoded.

    Args:
        report: of the dataset; takes the counts and findings.

    Returns:
        list: the frames that its loader uses.
    """
    folder = report.folder
    again = f"Unpack iLIDS-VID.tar into {folder}, whole."
    path = folder.parent / SPLIT_FILES["ilidsvid"]
    table = ILIDSVID_TABLE.split("/")[0] if path.exists() else ILIDSVID_TABLE
    missing = find_missing(report, dict.fromkeys((*_CAMERAS, table), again))
    if missing & set(_CAMERAS):
        return []
    cameras = {camera: people_under(report, camera) for camera in _CAMERAS}
    first, second = cameras.values()
    report.counts["people under cam1"] = len(first)
    report.counts["people under cam2"] = len(second)
    splits: list[Split] = []
    if path.exists():
        source, mend = path.name, splits_mend("ilidsvid", folder.parent)
        try:
            splits = parse_splits(path)
        except DataError as error:
            report.add("error", str(error), mend)
    elif not missing:
        source, mend = ILIDSVID_TABLE, again
        splits = _splits_of_table(report, cameras, again)
    frames: list[str] = []
    if splits:
        people = check_splits(report, source, splits, mend)
        frames = check_sequences(report, cameras, people, source, again)
    report.compare(PUBLISHED, synthetic=is_synthetic(folder))
    return frames


def _splits_of_table(report: Report, cameras: Mapping[str, People], again: str) -> list[Split]:
    """Give the splits that torchreid will make, or report why it cannot."""
    errors = len(report.of("error"))
    stray = [
        f"{camera}/{name}" for camera in cameras for name in names_in(report.folder / camera)[1]
    ]
    report.add(
        "error",
        f"Files among the people's folders, which torchreid counts as people of {ILIDSVID_TABLE}",
        "Remove them.",
        stray,
    )
    (first, there), (second, also) = cameras.items()
    alone = [f"{first}/{person}" for person in sorted(there.keys() - also.keys())]
    alone += [f"{second}/{person}" for person in sorted(also.keys() - there.keys())]
    report.add("error", "People under one camera only, where torchreid stops", again, alone)
    if len(there) != _PEOPLE:
        report.add(
            "error",
            f"{report.folder / first} has {len(there)} people, expected {_PEOPLE}, which "
            f"{ILIDSVID_TABLE} counts in the order of their names",
            again,
        )
    table = read_table(report, ILIDSVID_TABLE, "ls_set", (_SPLITS, _PEOPLE), again)
    if table is None or len(report.of("error")) > errors:
        return []
    wrong = [row for row, people in enumerate(table) if set(people) != set(range(1, _PEOPLE + 1))]
    if wrong:
        report.add(
            "error",
            f"Splits of {ILIDSVID_TABLE} that are not each of 1 to {_PEOPLE} once",
            again,
            [f"split {row}" for row in wrong],
        )
        return []
    names, half = sorted(there), _PEOPLE // 2
    return [
        {
            "train": [names[person - 1] for person in sorted(row[half:])],
            "test": [names[person - 1] for person in sorted(row[:half])],
        }
        for row in table
    ]
