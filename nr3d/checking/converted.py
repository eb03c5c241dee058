"""Converted datasets: the index, and the tree that it is about."""

from __future__ import annotations

from collections import Counter

from nr3d.checking.answers import check_answers
from nr3d.checking.findings import Report
from nr3d.checking.frames import check_order
from nr3d.checking.parts import Parts
from nr3d.data.converted.dataset import (
    INDEX,
    SPLITS,
    Index,
    index_mend,
    parse_index,
    read_index,
    strangers,
)
from nr3d.data.converted.tree import SHAPE, PlainTracklet, scan
from nr3d.data.frames import IMAGES
from nr3d.errors import DataError


def check_converted(report: Report) -> list[str]:
    """Check all of a converted dataset but whether its frames can be decoded.

    Args:
        report: of the dataset, whose folder is there; takes the counts and findings.

    Returns:
        list: the frames that its index names and that are there.
    """
    tree = scan(report.folder)
    again = index_mend(report.folder)
    without = f"go on without: {again.partition(': ')[2]}"
    for problem in tree.problems:
        report.add(
            "warning",
            f"There are {problem.what}, expected {report.folder}/{SHAPE}",
            problem.mend,
            problem.places,
        )
    report.add(
        "note",
        "Files and folders in the tree that are no frames, and are not used",
        f"Nothing; but if there are frames among them, convert them to one of {', '.join(IMAGES)}.",
        strangers(tree),
    )
    try:
        index = parse_index(report.folder)
    except DataError as error:
        report.add("error", str(error), again)
        return []
    training, testing, listed = _check_index(report, index, again)
    report.counts |= {
        "train identities": len(training),
        "test identities": len(testing),
        "cameras": len({tracklet.camera for tracklet in listed}),
        **{f"{split} tracklets": len(index.of(split)) for split in SPLITS},
        "frames": sum(len(tracklet.frames) for tracklet in listed),
    }
    check_order(report, [(tracklet.place, tracklet.frames) for tracklet in listed], INDEX, again)
    on_disk = {tracklet.place: set(tracklet.frames) for tracklet in tree.tracklets}
    named: dict[str, set[str]] = {}
    found: list[str] = []
    missing: list[str] = []
    for tracklet in listed:
        named.setdefault(tracklet.place, set()).update(tracklet.frames)
        there = on_disk.get(tracklet.place, set())
        for frame in tracklet.frames:
            if frame in there:
                found.append(f"{report.folder}/{tracklet.place}/{frame}")
            else:
                missing.append(f"{tracklet.place}/{frame}")
    report.add(
        "error", f"Frames of {INDEX} that are not on disk", f"Restore them, or {without}", missing
    )
    report.add(
        "warning",
        f"Frames on disk that {INDEX} does not name, and that are not used",
        again,
        [
            f"{place}/{frame}"
            for place, frames in on_disk.items()
            for frame in sorted(frames - named.get(place, set()))
        ],
    )
    return found


def read_converted(report: Report, _: int = 0) -> Parts | None:
    """Read a converted dataset's tracklets, or report why they cannot be.

    The frames are not looked for.

    Args:
        report: of the dataset; takes the findings.

    Raises:
        DataError: if its index is missing or is no such file.
    """
    index = read_index(report.folder)
    _check_index(report, index, index_mend(report.folder))
    return None if report.of("error") else Parts(*index.tuples(report.folder))


def _check_index(
    report: Report, index: Index, again: str
) -> tuple[set[str], set[str], list[PlainTracklet]]:
    """Check who is in which split; give who trains, who tests, and all tracklets."""
    listed = index.of(*SPLITS)
    training, testing = (
        {tracklet.identity for tracklet in index.of(*splits)}
        for splits in (("train",), ("query", "gallery"))
    )
    report.add(
        "error",
        f"Identities that both train and test in {INDEX}",
        again,
        sorted(training & testing),
    )
    times = Counter(tracklet.place for tracklet in listed)
    report.add(
        "error",
        f"Tracklets that {INDEX} has more than once",
        again,
        [place for place, count in times.items() if count > 1],
    )
    check_answers(
        report,
        INDEX,
        [(tracklet.place, tracklet.identity, tracklet.camera) for tracklet in index.of("query")],
        [(tracklet.identity, tracklet.camera) for tracklet in index.of("gallery")],
        again,
    )
    return training, testing, listed
