"""MARS: its tables, its names lists and the files on disk."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from nr3d.data.checking.answers import check_answers
from nr3d.data.checking.findings import Report
from nr3d.data.checking.layout import find_missing
from nr3d.data.checking.mars_tables import (
    DISTRACTOR,
    INFO,
    JUNK,
    Part,
    check_rows,
    read_mars_table,
    read_part,
)
from nr3d.data.frames import is_image
from nr3d.data.splits import is_synthetic
from nr3d.data.tree import names_in

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
    needed = dict.fromkeys(_TABLES, f"Fetch it from {INFO}.") | {
        boxes: f"Unpack {boxes}.zip of MARS into {report.folder}."
        for boxes in ("bbox_train", "bbox_test")
    }
    if find_missing(report, needed):
        return []
    train, test = (read_part(report, name) for name in ("train", "test"))
    queries = read_mars_table(report, _QUERIES, "query_IDX")
    frames: list[str] = []
    if train is not None:
        people = train.table[:, 2]
        report.counts["train people"] = len(set(people.tolist()) - {JUNK})
        report.counts["train tracklets"] = int((people != JUNK).sum())
        report.counts["train frames"] = len(train.names)
        frames += _check_files(report, train, check_rows(report, train))
    if test is not None:
        if queries is not None:
            _check_queries(report, test, queries.ravel())
        report.counts["test frames"] = len(test.names)
        frames += _check_files(report, test, check_rows(report, test))
    if train is not None and test is not None:
        both = set(train.table[:, 2].tolist()) & set(test.table[:, 2].tolist())
        report.add(
            "error",
            f"People in both {train.table_file} and {test.table_file}",
            f"Fetch both again from {INFO}, or take these people out of one: figures on people "
            "who were trained on say nothing.",
            [f"person {pid:04d}" for pid in sorted(both - {JUNK, DISTRACTOR})],
        )
    report.compare(PUBLISHED, synthetic=is_synthetic(report.folder))
    return frames


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


def _check_queries(report: Report, test: Part, queries: npt.NDArray[np.int64]) -> None:
    """Check which rows of the test table are queries, and whether they can be answered."""
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
