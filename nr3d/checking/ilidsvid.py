"""iLIDS-VID: its two cameras' folders, its table of splits and the file made from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nr3d.checking.findings import Report
from nr3d.checking.layout import find_missing
from nr3d.checking.parts import Parts
from nr3d.checking.tables import read_table
from nr3d.checking.two_cameras import (
    People,
    check_sequences,
    check_splits,
    people_under,
    read_sequences,
)
from nr3d.data.converted.tree import names_in
from nr3d.data.splits import (
    ILIDSVID_TABLE,
    SPLIT_FILES,
    Split,
    is_synthetic,
    parse_splits,
    splits_mend,
    write_splits,
)
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
    cameras = _cameras(report)
    if cameras is None:
        return []
    first, second = cameras.values()
    report.counts["people under cam1"] = len(first)
    report.counts["people under cam2"] = len(second)
    source, splits, mend = _splits(report, cameras)
    frames: list[str] = []
    if splits:
        people = check_splits(report, source, splits, mend)
        frames = check_sequences(report, cameras, people, source, _again(report))
    report.compare(PUBLISHED, synthetic=is_synthetic(report.folder))
    return frames


def read_ilidsvid(report: Report, number: int) -> Parts | None:
    """Read a split's tracklets as torchreid does, or report why they cannot be.

    As torchreid does, it writes the splits of the table to their file, where it can.

    Args:
        report: of the dataset; takes the errors.
        number: of the split, from 0.

    Raises:
        ConfigError: if there is no such split.
    """
    cameras = _cameras(report)
    if cameras is None:
        return None
    source, splits, mend = _splits(report, cameras)
    if not splits:
        return None
    if source == ILIDSVID_TABLE and not report.of("error"):
        write_splits(_path(report), splits)
    return read_sequences(report, cameras, splits, number, source, mend, _again(report))


def _cameras(report: Report) -> dict[str, People] | None:
    """List the cameras' folders; report what is missing, what the splits are made of too."""
    table = ILIDSVID_TABLE.split("/")[0] if _path(report).exists() else ILIDSVID_TABLE
    missing = find_missing(report, dict.fromkeys((*_CAMERAS, table), _again(report)))
    if missing & set(_CAMERAS):
        return None
    return {camera: people_under(report, camera) for camera in _CAMERAS}


def _splits(report: Report, cameras: Mapping[str, People]) -> tuple[str, list[Split], str]:
    """Give the file of the splits, the splits, and how to come by right ones.

    Of splits that cannot be read, as is reported here or was before, it gives none.
    """
    path, again = _path(report), _again(report)
    if path.exists():
        mend = splits_mend("ilidsvid", report.folder.parent)
        try:
            return path.name, parse_splits(path), mend
        except DataError as error:
            report.add("error", str(error), mend)
            return path.name, [], mend
    if not (report.folder / ILIDSVID_TABLE).exists():
        return ILIDSVID_TABLE, [], again
    return ILIDSVID_TABLE, _splits_of_table(report, cameras, again), again


def _path(report: Report) -> Path:
    return report.folder.parent / SPLIT_FILES["ilidsvid"]


def _again(report: Report) -> str:
    return f"Unpack iLIDS-VID.tar into {report.folder}, whole."


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
