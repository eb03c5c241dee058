"""MARS: its tables and lists, read into tracklets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from nr3d.data.datasets.answers import check_answers
from nr3d.data.datasets.findings import Report
from nr3d.data.datasets.mars_tables import (
    DISTRACTOR,
    INFO,
    JUNK,
    Part,
    check_rows,
    read_mars_table,
    read_part,
)
from nr3d.data.datasets.missing import find_missing
from nr3d.data.datasets.parts import Parts

_QUERIES = "info/query_IDX.mat"

TABLES = dict.fromkeys(
    (
        "info/train_name.txt",
        "info/test_name.txt",
        "info/tracks_train_info.mat",
        "info/tracks_test_info.mat",
        _QUERIES,
    ),
    f"Fetch it from {INFO}.",
)
"""Paths of the tables and lists, each with advice for when it is missing."""


def read_mars(report: Report) -> Parts | None:
    """Read MARS's tracklets as torchreid does, without looking for the frames.

    Args:
        report: report of the dataset, which takes the findings.

    Returns:
        Parts: the tracklets; None if an error was reported.
    """
    if find_missing(report, TABLES):
        return None
    train, test, queries = read_tables(report)
    if train is None or test is None or queries is None:
        return None
    check_rows(report, train)
    check_rows(report, test)
    asked = check_queries(report, test, queries)
    check_people(report, train, test)
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


def read_tables(
    report: Report,
) -> tuple[Part | None, Part | None, npt.NDArray[np.int64] | None]:
    """Read the tables and lists of MARS.

    Args:
        report: report of the dataset, which takes the errors.

    Returns:
        tuple: the train part, the test part, and the rows of the queries in the test table, from 1;
        None in place of each for which an error was reported.
    """
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


def check_people(report: Report, train: Part, test: Part) -> None:
    """Report people who both train and test."""
    both = set(train.table[:, 2].tolist()) & set(test.table[:, 2].tolist())
    report.add(
        "error",
        f"People in both {train.table_file} and {test.table_file}",
        f"Fetch both again from {INFO}, or take these people out of one: figures on people "
        "who were trained on say nothing.",
        [f"person {pid:04d}" for pid in sorted(both - {JUNK, DISTRACTOR})],
    )


def check_queries(
    report: Report, test: Part, queries: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Check which rows of the test table are queries, and whether they can be answered.

    Args:
        report: report of the dataset, which takes the counts and findings.
        test: the test part.
        queries: rows of the queries, from 1.

    Returns:
        array: rows of the queries that exist, from 0.
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
