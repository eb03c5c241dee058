"""Check of a converted dataset: its index, and the tree that the index describes."""

from __future__ import annotations

from nr3d.checking.order import check_order
from nr3d.data.converted.index import INDEX, index_remedy, parse_index, strangers
from nr3d.data.converted.reading import check_index
from nr3d.data.converted.tree import SHAPE, scan
from nr3d.data.datasets.findings import Report
from nr3d.data.datasets.parts import SPLITS
from nr3d.data.frames import IMAGES
from nr3d.errors import DataError


def check_converted(report: Report) -> list[str]:
    """Check everything of a converted dataset except whether its frames can be decoded.

    Args:
        report: report of the dataset, whose folder exists; it takes the counts and findings.

    Returns:
        list: paths of the frames that the index names and that exist.
    """
    tree = scan(report.folder)
    again = index_remedy(report.folder)
    without = f"go on without: {again.partition(': ')[2]}"
    for problem in tree.problems:
        report.add(
            "warning",
            f"There are {problem.what}, expected {report.folder}/{SHAPE}",
            problem.remedy,
            problem.places,
        )
    report.add(
        "note",
        "Files and folders in the tree that are no frames, and are not used",
        f"Nothing; but if there are frames among them, convert them to one of {', '.join(IMAGES)}.",
        strangers(tree.skipped),
    )
    try:
        index = parse_index(report.folder)
    except DataError as error:
        report.add("error", str(error), again)
        return []
    training, testing, listed = check_index(report, index, again)
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
