"""MARS's track tables and lists of names, and whether the two fit each other."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nr3d.data.datasets.findings import Report
from nr3d.data.datasets.tables import read_table
from nr3d.errors import DataError
from nr3d.files.regular_files import MEBIBYTE, read_whole

JUNK, DISTRACTOR = -1, 0
"""Identities of the test table that are not people; the loader leaves junk out."""

INFO = "https://github.com/liangzheng06/MARS-evaluation, folder info"
"""Place where the tables and lists are published."""

_NAME = re.compile(r"((?:\d{4}|00-1)C\dT\d{4,})F\d{3,}\.jpg", re.ASCII)
_LONGEST_NAME = 255

_LARGEST_LIST = 256 * MEBIBYTE
_SHORTEST_LINE = 10
"""Least average size of a line, in bytes; a long list of shorter lines holds no frame names."""

_MANY = 100_000
"""Number of lines that are read in any case, and largest number of places of a finding."""

_OVERLAPS = 64
"""Largest average number of rows per frame; more cannot be tracklets, and would take hours."""


@dataclass(frozen=True)
class Part:
    """The table and the list of train or test.

    Args:
        name: ``'train'`` or ``'test'``.
        names: file names of the frames, as listed.
        table: (tracklets, 4), first and last frame, from 1, person, and camera.
    """

    name: str
    names: list[str]
    table: npt.NDArray[np.int64]

    @property
    def boxes(self) -> str:
        """Name of the folder of its frames."""
        return f"bbox_{self.name}"

    @property
    def list_file(self) -> str:
        """Path of the list of its names."""
        return f"info/{self.name}_name.txt"

    @property
    def table_file(self) -> str:
        """Path of its table."""
        return f"info/tracks_{self.name}_info.mat"

    def row(self, index: int) -> str:
        """Return the label of a row in a finding; ``index`` is from 0."""
        return f"{self.table_file} row {index + 1}"


def read_part(report: Report, name: str) -> Part | None:
    """Read train or test, or report why it cannot be read and return None."""
    table = read_mars_table(report, f"info/tracks_{name}_info.mat", f"track_{name}_info", 4)
    if table is None:
        return None
    part = Part(name, [], table)
    path = report.folder / part.list_file
    try:
        part.names.extend(_lines(path))
    except DataError as error:
        report.add("error", str(error), f"Fetch it again from {INFO}.")
        return None
    while part.names and not part.names[-1]:
        part.names.pop()
    return part


def _lines(path: Path) -> Iterator[str]:
    data = read_whole(path, _LARGEST_LIST)
    count = data.count(b"\n") + data.count(b"\r")
    if count > _MANY and len(data) < _SHORTEST_LINE * count:
        raise DataError(
            f"{path} is no list of frame names: it has {count:,} lines that are shorter"
        )
    text = data.decode("utf-8-sig", "surrogateescape")
    # The line endings of another system, or trailing blanks, do not make a name wrong.
    return (line.rstrip() for line in io.StringIO(text, newline=None))


def read_mars_table(
    report: Report, relative: str, key: str, columns: int | None = None
) -> npt.NDArray[np.int64] | None:
    """Read one of the tables, or report why it cannot be read and return None."""
    return read_table(report, relative, key, (None, columns), f"Fetch it again from {INFO}.")


@dataclass(frozen=True)
class Rows:
    """Use of the names of a list by the rows of its table.

    Args:
        used: (frames,), whether the loader uses each name.
        times: (frames,), number of rows that name each frame.
        tracklets: label and names of each row that is a single tracklet.
    """

    used: npt.NDArray[np.bool_]
    times: npt.NDArray[np.int64]
    tracklets: list[tuple[str, list[str]]]


def check_rows(report: Report, part: Part) -> Rows:
    """Compare a table with its list of names, and report what a loader cannot use."""
    count = len(part.names)
    rows = Rows(np.zeros(count, np.bool_), np.zeros(count, np.int64), [])
    again = fetch_again(part)
    first, last = part.table[:, 0], part.table[:, 1]
    inside = (first >= 1) & (first <= last) & (last <= count)
    report.add(
        "error",
        f"Rows that name frames outside of {part.list_file}",
        again,
        [
            f"{part.row(row)}: frames {first[row]} to {last[row]} of {count}"
            for row in np.flatnonzero(~inside).tolist()
        ],
    )
    if not (inside & (part.table[:, 2] != JUNK)).any():
        report.add("error", f"{part.table_file} has no row of a person", again)
    named = int((last - first + 1)[inside].sum())
    if named > _OVERLAPS * count:
        report.add(
            "error",
            f"The rows of {part.table_file} name {named:,} frames together, and {part.list_file} "
            f"has {count:,}",
            again,
        )
        return rows
    heads = [match[1] if (match := _frame_name(name)) else None for name in part.names]
    people: list[str] = []
    cameras: list[str] = []
    mixed: list[str] = []
    for index in np.flatnonzero(inside).tolist():
        start, stop, person, camera = part.table[index].tolist()
        where, start = part.row(index), start - 1
        rows.times[start:stop] += 1
        if person == JUNK:
            continue
        rows.used[start:stop] = True
        seen = {head for head in heads[start:stop] if head is not None}
        others = sorted({head[:4] for head in seen} - {f"{person:04d}"})
        if others:
            people.append(f"{where}: person {person:04d}, frames of {_some(others)}")
        others_cameras = sorted({head[5] for head in seen} - {str(camera)})
        if others_cameras or not 1 <= camera <= 6:
            of = f", frames of {_some(others_cameras)}" if others_cameras else ""
            cameras.append(f"{where}: camera {camera}{of}")
        if len(seen) == 1:
            rows.tracklets.append((where, part.names[start:stop]))
        elif seen and not others and not others_cameras:
            mixed.append(f"{where}: {_some(sorted(head[6:] for head in seen))}")
    unnamed = (line for line, head in enumerate(heads, start=1) if head is None)
    for level, what, places in (
        ("error", "Rows whose frames in {0} show another person by their names", people),
        ("error", "Rows whose frames in {0} show another camera, or none of 1 to 6", cameras),
        ("warning", "Rows that join several tracklets of {0}", mixed),
        (
            "error",
            "Lines of {0} that are no frame names of MARS, such as 0001C1T0001F001.jpg",
            [
                f"{part.list_file} line {line}: {part.names[line - 1][:80]!r}"
                for line in itertools.islice(unnamed, _MANY)
            ],
        ),
    ):
        report.add(level, what.format(part.list_file), again, places)
    return rows


def fetch_again(part: Part) -> str:
    """Return what to do about a table and a list that do not fit each other."""
    return f"Fetch {part.list_file} and {part.table_file} again from {INFO}: they belong together."


def _frame_name(name: str) -> re.Match[str] | None:
    return _NAME.fullmatch(name) if len(name) <= _LONGEST_NAME else None


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
