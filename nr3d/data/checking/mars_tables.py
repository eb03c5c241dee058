"""MARS's track tables and names lists: reading them, and holding one against the other."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nr3d.data.checking.findings import Report
from nr3d.data.checking.frames import check_order
from nr3d.data.checking.tables import read_table

JUNK, DISTRACTOR = -1, 0
"""People of the test table who are nobody; the loader leaves junk out."""

INFO = "https://github.com/liangzheng06/MARS-evaluation, folder info"
"""Where the tables and lists come from."""

_NAME = re.compile(r"(\d{4}|00-1)C(\d)T(\d{4,})F(\d{3,})\.jpg")


@dataclass(frozen=True)
class Part:
    """Train or test.

    Args:
        name: ``'train'`` or ``'test'``.
        names: the frames' file names, as listed.
        table: (tracklets, 4): first and last frame, from 1, person, camera.
    """

    name: str
    names: list[str]
    table: npt.NDArray[np.int64]

    @property
    def boxes(self) -> str:
        """The folder of its frames."""
        return f"bbox_{self.name}"

    @property
    def list_file(self) -> str:
        """The file of its names."""
        return f"info/{self.name}_name.txt"

    @property
    def table_file(self) -> str:
        """The file of its table."""
        return f"info/tracks_{self.name}_info.mat"

    def row(self, index: int) -> str:
        """What to call a row in a finding."""
        return f"{self.table_file} row {index + 1}"


def read_part(report: Report, name: str) -> Part | None:
    """Read a part, or report why it cannot be."""
    table = read_mars_table(report, f"info/tracks_{name}_info.mat", f"track_{name}_info", 4)
    if table is None:
        return None
    part = Part(name, [], table)
    path = report.folder / part.list_file
    with path.open(encoding="utf-8", errors="replace") as file:
        part.names.extend(line.rstrip() for line in file)
    while part.names and not part.names[-1]:
        part.names.pop()
    return part


def read_mars_table(
    report: Report, relative: str, key: str, columns: int | None = None
) -> npt.NDArray[np.int64] | None:
    """Read one of the tables, or report why it cannot be."""
    return read_table(report, relative, key, (None, columns), f"Fetch it again from {INFO}.")


def check_rows(report: Report, part: Part) -> npt.NDArray[np.bool_]:
    """Hold a part's table against its names.

    Returns:
        array: for each name whether the loader uses it.
    """
    outside: list[str] = []
    people: list[str] = []
    cameras: list[str] = []
    mixed: list[str] = []
    tracklets: list[tuple[str, list[str]]] = []
    rows_of_frame = np.zeros(len(part.names), dtype=np.int64)
    used = np.zeros(len(part.names), dtype=np.bool_)
    for index, (first, last, person, camera) in enumerate(part.table.tolist()):
        where = part.row(index)
        if not 1 <= first <= last <= len(part.names):
            outside.append(f"{where}: frames {first} to {last} of {len(part.names)}")
            continue
        rows_of_frame[first - 1 : last] += 1
        if person == JUNK:
            continue
        used[first - 1 : last] = True
        names = part.names[first - 1 : last]
        seen = {match.group(1, 2, 3) for name in names if (match := _NAME.fullmatch(name))}
        others = sorted({tracklet[0] for tracklet in seen} - {f"{person:04d}"})
        if others:
            people.append(f"{where}: person {person:04d}, frames of {', '.join(others)}")
        others_cameras = sorted({tracklet[1] for tracklet in seen} - {str(camera)})
        if others_cameras or not 1 <= camera <= 6:
            of = f", frames of {', '.join(others_cameras)}" if others_cameras else ""
            cameras.append(f"{where}: camera {camera}{of}")
        if len(seen) == 1:
            tracklets.append((where, names))
        elif seen and not others and not others_cameras:
            takes = sorted(f"T{tracklet[2]}" for tracklet in seen)
            mixed.append(f"{where}: {', '.join(takes)}")

    again = f"Fetch {part.list_file} and {part.table_file} again from {INFO}: they belong together."
    for level, what, places in (
        ("error", "Rows that name frames outside of {0}", outside),
        ("error", "Rows whose frames in {0} show another person by their names", people),
        ("error", "Rows whose frames in {0} show another camera, or none of 1 to 6", cameras),
        ("warning", "Rows that join several tracklets of {0}", mixed),
        (
            "error",
            "Lines of {0} that are no frame names of MARS, such as 0001C1T0001F001.jpg",
            [
                f"{part.list_file} line {line}: {name!r}"
                for line, name in enumerate(part.names, start=1)
                if not _NAME.fullmatch(name)
            ],
        ),
        (
            "warning",
            "Frames that {0} lists more than once",
            [name for name, times in Counter(part.names).items() if times > 1],
        ),
        (
            "warning",
            "Frames of {0} that are in several rows of {1}",
            [part.names[i] for i in np.flatnonzero(rows_of_frame > 1)],
        ),
        (
            "warning",
            "Frames of {0} that no row of {1} names",
            [part.names[i] for i in np.flatnonzero(rows_of_frame == 0)],
        ),
    ):
        report.add(level, what.format(part.list_file, part.table_file), again, places)
    check_order(
        report,
        tracklets,
        part.list_file,
        f"{again} nr3d sorts a tracklet's frames by name as it loads them, other loaders do not.",
    )
    return used
