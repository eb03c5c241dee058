"""iLIDS-VID: its two cameras' folders and its splits, read into tracklets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nr3d.data.datasets.findings import Report
from nr3d.data.datasets.parts import Parts
from nr3d.data.datasets.splits import (
    ILIDSVID_TABLE,
    SPLIT_FILES,
    Split,
    splits_remedy,
    write_splits,
)
from nr3d.data.datasets.tables import read_table
from nr3d.data.datasets.two_cameras import People, cameras_in, read_sequences, splits_in
from nr3d.data.folders import names_in

_CAMERAS = ("i-LIDS-VID/sequences/cam1", "i-LIDS-VID/sequences/cam2")
_SPLIT_COUNT, _PEOPLE = 10, 300
"""Shape that torchreid expects of the table from which it makes the splits."""


def read_ilidsvid(report: Report, number: int) -> Parts | None:
    """Read the tracklets of a split as torchreid does.

    As torchreid does, this writes the splits of the table to their file, if it can.

    Args:
        report: report of the dataset, which takes the errors.
        number: number of the split, from 0.

    Returns:
        Parts: the tracklets; None if an error was reported.

    Raises:
        ConfigError: if there is no such split.
    """
    cameras = read_cameras(report)
    if cameras is None:
        return None
    source, splits, remedy = find_splits(report, cameras)
    if not splits:
        return None
    if source == ILIDSVID_TABLE and not report.of("error"):
        write_splits(_path(report), splits)
    return read_sequences(report, cameras, splits, number, source, remedy, unpack_again(report))


def read_cameras(report: Report) -> dict[str, People] | None:
    """Return the people under each camera; report missing folders and missing splits."""
    table = ILIDSVID_TABLE.split("/")[0] if _path(report).exists() else ILIDSVID_TABLE
    return cameras_in(report, _CAMERAS, dict.fromkeys((*_CAMERAS, table), unpack_again(report)))


def find_splits(report: Report, cameras: Mapping[str, People]) -> tuple[str, list[Split], str]:
    """Find the splits, in their file or in the table that it is made from.

    Args:
        report: report of the dataset, which takes the errors.
        cameras: the people under each camera.

    Returns:
        tuple: the name of the file that holds the splits; the splits, empty if they cannot be read,
        which has then been reported; and advice on how to get correct ones.
    """
    path, again = _path(report), unpack_again(report)
    if path.exists():
        remedy = splits_remedy("ilidsvid", report.folder.parent)
        return path.name, splits_in(report, path, remedy), remedy
    if not (report.folder / ILIDSVID_TABLE).exists():
        return ILIDSVID_TABLE, [], again
    return ILIDSVID_TABLE, _splits_of_table(report, cameras, again), again


def _path(report: Report) -> Path:
    return report.folder.parent / SPLIT_FILES["ilidsvid"]


def unpack_again(report: Report) -> str:
    """Return what to do about missing files."""
    return f"Unpack iLIDS-VID.tar into {report.folder}, whole."


def _splits_of_table(report: Report, cameras: Mapping[str, People], again: str) -> list[Split]:
    """Return the splits that torchreid makes of the table, or report why it cannot make them."""
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
    table = read_table(report, ILIDSVID_TABLE, "ls_set", (_SPLIT_COUNT, _PEOPLE), again)
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
