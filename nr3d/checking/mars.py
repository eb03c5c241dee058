"""Check of MARS: its tables, its lists of names and the files on the disk."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from nr3d.checking.order import check_order
from nr3d.data.datasets.findings import Report
from nr3d.data.datasets.mars import TABLES, check_people, check_queries, read_tables
from nr3d.data.datasets.mars_tables import INFO, JUNK, Part, Rows, check_rows, fetch_again
from nr3d.data.datasets.missing import find_missing
from nr3d.data.datasets.splits import is_synthetic
from nr3d.data.folders import names_in
from nr3d.data.frames import is_image

PUBLISHED = {
    "train people": 625,
    "train tracklets": 8_298,
    "train frames": 509_914,
    "query tracklets": 1_980,
    "gallery tracklets": 9_330,
    "test frames": 681_089,
}
"""Counts of the published dataset, without junk tracklets and with no query in the gallery.

Reference:
    Zheng et al. MARS: A Video Benchmark for Large-Scale Person Re-identification. ECCV 2016.
"""


def check_mars(report: Report) -> list[str]:
    """Check everything of MARS except whether its frames can be decoded.

    Args:
        report: report of the dataset, which takes the counts and findings.

    Returns:
        list: paths of the frames that the loader uses and that exist.
    """
    needed = TABLES | {
        boxes: f"Unpack {boxes}.zip of MARS into {report.folder}."
        for boxes in ("bbox_train", "bbox_test")
    }
    if find_missing(report, needed):
        return []
    train, test, queries = read_tables(report)
    frames: list[str] = []
    if train is not None:
        people = train.table[:, 2]
        report.counts["train people"] = len(set(people.tolist()) - {JUNK})
        report.counts["train tracklets"] = int((people != JUNK).sum())
        report.counts["train frames"] = len(train.names)
        frames += _check_part(report, train)
    if test is not None:
        if queries is not None:
            check_queries(report, test, queries)
        report.counts["test frames"] = len(test.names)
        frames += _check_part(report, test)
    if train is not None and test is not None:
        check_people(report, train, test)
    report.compare(PUBLISHED, synthetic=is_synthetic(report.folder))
    return frames


def _check_part(report: Report, part: Part) -> list[str]:
    """Check the rows, names and files of train or test; return the used frames that exist."""
    rows = check_rows(report, part)
    _check_list(report, part, rows)
    return _check_files(report, part, rows.used)


def _check_list(report: Report, part: Part, rows: Rows) -> None:
    """Report what is odd about a list of names but does not keep it from being loaded."""
    again = fetch_again(part)
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


def _check_files(report: Report, part: Part, used: npt.NDArray[np.bool_]) -> list[str]:
    """Compare a list of names with its folder; return the used frames that exist."""
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
