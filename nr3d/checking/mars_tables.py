"""MARS's track tables and names lists: reading them, and holding one against the other."""

from __future__ import annotations

import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nr3d.checking.findings import Report
from nr3d.checking.frames import check_order
from nr3d.checking.tables import read_table
from nr3d.errors import DataError
from nr3d.files.regular_files import MEBIBYTE, read_whole

JUNK, DISTRACTOR = -1, 0
"""People of the test table who are nobody; the loader leaves junk out."""

INFO = "https://github.com/liangzheng06/MARS-evaluation, folder info"
"""Where the tables and lists come from."""

_NAME = re.compile(r"((?:\d{4}|00-1)C\dT\d{4,})F\d{3,}\.jpg", re.ASCII)
_LONGEST_NAME = 255

_LARGEST_LIST = 256 * MEBIBYTE
_SHORTEST_LINE = 10
"""Bytes of a line on average in a list of many: less is no list of frame names."""

_MANY = 100_000
"""Lines of a list that are looked at whatever they are, and places of a finding at most."""

_OVERLAPS = 64
"""Rows that a frame may be in on average; more are no tracklets, and take hours to look at."""


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
    # No names of files are said to be wrong for how their system ends lines, or for blanks there.
    return (line.rstrip() for line in io.StringIO(text, newline=None))


def read_mars_table(
    report: Report, relative: str, key: str, columns: int | None = None
) -> npt.NDArray[np.int64] | None:
    """Read one of the tables, or report why it cannot be."""
    return read_table(report, relative, key, (None, columns), f"Fetch it again from {INFO}.")


@dataclass(frozen=True)
class Rows:
    """What a part's rows say of its names.

    Args:
        used: for each name whether the loader uses it.
        times: for each name in how many rows it is.
        tracklets: what to call each row of one tracklet, and its names.
    """

    used: npt.NDArray[np.bool_]
    times: npt.NDArray[np.int64]
    tracklets: list[tuple[str, list[str]]]


def check_rows(report: Report, part: Part) -> Rows:
    """Hold a part's table against its names, and report what a loader cannot use."""
    count = len(part.names)
    rows = Rows(np.zeros(count, np.bool_), np.zeros(count, np.int64), [])
    again = _again(part)
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


def check_list(report: Report, part: Part, rows: Rows) -> None:
    """Report what is odd about a part's names, and does not keep it from being loaded."""
    again = _again(part)
    for what, places in (
        (
            "Frames that {0} lists more than once",
            [name for name, times in Counter(part.names).items() if times > 1],
        ),
        (
            "Frames of {0} that are in several rows of {1}",
            [part.names[i] for i in np.flatnonzero(rows.times > 1)],
        ),
        (
            "Frames of {0} that no row of {1} names",
            [part.names[i] for i in np.flatnonzero(rows.times == 0)],
        ),
    ):
        report.add("warning", what.format(part.list_file, part.table_file), again, places)
    check_order(
        report,
        rows.tracklets,
        part.list_file,
        f"{again} nr3d sorts a tracklet's frames by name as it loads them, other loaders do not.",
    )


def _again(part: Part) -> str:
    return f"Fetch {part.list_file} and {part.table_file} again from {INFO}: they belong together."


def _frame_name(name: str) -> re.Match[str] | None:
    return _NAME.fullmatch(name) if len(name) <= _LONGEST_NAME else None


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
