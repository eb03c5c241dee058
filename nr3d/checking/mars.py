"""MARS: its tables, its names lists and the files on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from nr3d.checking.answers import check_answers
from nr3d.checking.findings import Report
from nr3d.checking.layout import find_missing
from nr3d.checking.mars_tables import (
    DISTRACTOR,
    INFO,
    JUNK,
    Part,
    check_list,
    check_rows,
    read_mars_table,
    read_part,
)
from nr3d.checking.parts import Parts
from nr3d.data.converted.tree import names_in
from nr3d.data.frames import is_image
from nr3d.data.splits import is_synthetic

PUBLISHED = {
    "train people": 625,
    "train tracklets": 8_298,
    "train frames": 509_914,
    "query tracklets": 1_980,
    "gallery tracklets": 9_330,
    "test frames": 681_089,
}
"""Tracklets as torchreid counts: without the junk ones, and with no query in the gallery.

Reference:
    Zheng et al. MARS: A Video Benchmark for Large-Scale Person Re-identification. ECCV 2016.
"""

_QUERIES = "info/query_IDX.mat"
_TABLES = (
    "info/train_name.txt",
    "info/test_name.txt",
    "info/tracks_train_info.mat",
    "info/tracks_test_info.mat",
    _QUERIES,
)


def check_mars(report: Report) -> list[str]:
    """Check all of MARS but whether its frames can be decoded.

    Args:
        report: of the dataset; takes the counts and findings.

    Returns:
        list: the frames that its loader uses and that are there.
    """
    needed = _tables() | {
        boxes: f"Unpack {boxes}.zip of MARS into {report.folder}."
        for boxes in ("bbox_train", "bbox_test")
    }
    if find_missing(report, needed):
        return []
    train, test, queries = _read(report)
    frames: list[str] = []
    if train is not None:
        people = train.table[:, 2]
        report.counts["train people"] = len(set(people.tolist()) - {JUNK})
        report.counts["train tracklets"] = int((people != JUNK).sum())
        report.counts["train frames"] = len(train.names)
        frames += _check_part(report, train)
    if test is not None:
        if queries is not None:
            _check_queries(report, test, queries)
        report.counts["test frames"] = len(test.names)
        frames += _check_part(report, test)
    if train is not None and test is not None:
        _check_people(report, train, test)
    report.compare(PUBLISHED, synthetic=is_synthetic(report.folder))
    return frames


def read_mars(report: Report) -> Parts | None:
    """Read MARS's tracklets as torchreid does, or report why they cannot be.

    The frames are not looked for.

    Args:
        report: of the dataset; takes the findings.
    """
    if find_missing(report, _tables()):
        return None
    train, test, queries = _read(report)
    if train is None or test is None or queries is None:
        return None
    check_rows(report, train)
    check_rows(report, test)
    asked = _check_queries(report, test, queries)
    _check_people(report, train, test)
    if report.of("error"):
        return None
    people = sorted(set(train.table[:, 2].tolist()) - {JUNK})
    label = {person: number for number, person in enumerate(people)}
    answering = np.setdiff1d(np.arange(len(test.table)), asked)
    return Parts(
        [
            (paths, label[person], camera)
            for paths, person, camera in _tracklets(report, train, np.arange(len(train.table)))
        ],
        list(_tracklets(report, test, asked)),
        list(_tracklets(report, test, answering)),
    )


def _tracklets(
    report: Report, part: Part, rows: npt.NDArray[np.int64]
) -> Iterator[tuple[tuple[str, ...], int, int]]:
    boxes = report.folder / part.boxes
    for first, last, person, camera in part.table[rows].tolist():
        if person != JUNK:
            names = part.names[first - 1 : last]
            yield tuple(f"{boxes}/{name[:4]}/{name}" for name in names), person, camera - 1


def _tables() -> dict[str, str]:
    return dict.fromkeys(_TABLES, f"Fetch it from {INFO}.")


def _read(report: Report) -> tuple[Part | None, Part | None, npt.NDArray[np.int64] | None]:
    """Read the tables of train and test, and the queries' rows of the latter, from 1."""
    train, test = (read_part(report, name) for name in ("train", "test"))
    queries = read_mars_table(report, _QUERIES, "query_IDX")
    if queries is not None and min(queries.shape) > 1:
        report.add(
            "error",
            f"query_IDX in {report.folder / _QUERIES} is of shape {queries.shape}, expected one "
            "row or one column",
            f"Fetch it again from {INFO}.",
        )
        return train, test, None
    return train, test, None if queries is None else queries.ravel()


def _check_part(report: Report, part: Part) -> list[str]:
    """Check a part's rows, its names and its files; give the frames that are used and there."""
    rows = check_rows(report, part)
    check_list(report, part, rows)
    return _check_files(report, part, rows.used)


def _check_people(report: Report, train: Part, test: Part) -> None:
    both = set(train.table[:, 2].tolist()) & set(test.table[:, 2].tolist())
    report.add(
        "error",
        f"People in both {train.table_file} and {test.table_file}",
        f"Fetch both again from {INFO}, or take these people out of one: figures on people "
        "who were trained on say nothing.",
        [f"person {pid:04d}" for pid in sorted(both - {JUNK, DISTRACTOR})],
    )


def _check_files(report: Report, part: Part, used: npt.NDArray[np.bool_]) -> list[str]:
    """Hold a part's names against its folder; give the frames that are used and there."""
    boxes = str(report.folder / part.boxes)
    on_disk = {
        person: {name for name in names_in(f"{boxes}/{person}")[1] if is_image(name)}
        for person in names_in(boxes)[0]
    }
    found: list[str] = []
    missing: dict[bool, list[str]] = {True: [], False: []}
    for name, needed in zip(part.names, used.tolist(), strict=True):
        person = name[:4]
        if name not in on_disk.get(person, ()):
            missing[needed].append(f"{part.boxes}/{person}/{name}")
        elif needed:
            found.append(f"{boxes}/{person}/{name}")
    report.add(
        "error",
        f"Frames of tracklets that are not in {part.boxes}",
        f"Move what is in {boxes}/{part.boxes} up into {boxes}."
        if part.boxes in on_disk
        else f"Unpack {part.boxes}.zip of MARS into {report.folder} again, whole.",
        missing[True],
    )
    report.add(
        "note",
        f"Frames that no tracklet uses and that are not in {part.boxes}",
        "Nothing: the loader does not ask for them.",
        missing[False],
    )
    listed = set(part.names)
    report.add(
        "warning",
        f"Files in {part.boxes} that {part.list_file} does not list",
        "Nothing, if they are yours: the loader does not see them. Else fetch the tables and lists "
        f"again from {INFO}: they are not those of these files.",
        [
            f"{part.boxes}/{person}/{name}"
            for person, files in on_disk.items()
            for name in sorted(files - listed)
        ],
    )
    return found


def _check_queries(
    report: Report, test: Part, queries: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Check which rows of the test table are queries, and whether they can be answered.

    Returns:
        array: the rows, from 0.
    """
    rows = len(test.table)
    again = f"Fetch {_QUERIES} and {test.table_file} again from {INFO}: they belong together."
    people, cameras = test.table[:, 2], test.table[:, 3]
    indices = [int(query) - 1 for query in queries if 1 <= query <= rows]
    if len(queries) < 2:
        report.add("error", f"{_QUERIES} names {len(queries)} query, expected at least 2", again)
    report.add(
        "error",
        f"Queries of {_QUERIES} outside of the {rows} rows of {test.table_file}",
        again,
        [f"query {query}" for query in queries.tolist() if not 1 <= query <= rows],
    )
    report.add(
        "warning",
        f"Queries that {_QUERIES} names more than once",
        again,
        [test.row(index) for index, times in sorted(Counter(indices).items()) if times > 1],
    )
    report.add(
        "warning",
        f"Queries of {_QUERIES} that are junk or a distractor",
        again,
        [test.row(index) for index in indices if people[index] in (JUNK, DISTRACTOR)],
    )
    gallery = np.ones(rows, dtype=np.bool_)
    gallery[indices] = False
    gallery &= people != JUNK
    asked = [index for index in indices if people[index] != JUNK]
    report.counts["query tracklets"] = len(asked)
    report.counts["gallery tracklets"] = int(gallery.sum())
    check_answers(
        report,
        _QUERIES,
        [(test.row(index), f"{people[index]:04d}", int(cameras[index])) for index in asked],
        [
            (f"{person:04d}", camera)
            for person, camera in zip(
                people[gallery].tolist(), cameras[gallery].tolist(), strict=True
            )
        ],
        again,
    )
    return np.array(indices, np.int64)
