"""Check of a converted dataset: its index, and the frames that the index describes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from nr3d.checking.order import check_order
from nr3d.data.converted.grouping import Grouping, group
from nr3d.data.converted.index import (
    INDEX,
    Index,
    index_remedy,
    is_of_images,
    options_in,
    parse_index,
    strangers,
)
from nr3d.data.converted.patterns import Pattern
from nr3d.data.converted.reading import check_index
from nr3d.data.converted.selection import select
from nr3d.data.converted.tree import SHAPE, PlainTracklet, Tree, scan
from nr3d.data.datasets.findings import Report
from nr3d.data.datasets.parts import KINDS, NO_VIDEO, PSEUDO, SPLITS
from nr3d.data.frames import IMAGES
from nr3d.errors import DataError


def check_converted(report: Report) -> list[str]:
    """Check everything of a converted dataset except whether its frames can be decoded.

    Args:
        report: report of the dataset, whose folder exists; it takes the counts and findings.

    Returns:
        list: paths of the frames that the index names and that exist.
    """
    try:
        index = parse_index(report.folder)
    except DataError as error:
        if not is_of_images(options_in(report.folder)):
            _scanned(report)
        report.add("error", str(error), index_remedy(report.folder))
        return []
    again = index_remedy(report.folder, index.made)
    images = None
    if index.pattern is None:
        tree = _scanned(report)
        chosen = select(tree.tracklets, index.min_frames)
        there = {file for tracklet in tree.tracklets for file in tracklet.files}
    else:
        images = _grouped(report, index, index.pattern)
        if images is None:
            return []
        chosen = select(images.tracklets, index.min_frames, several_cameras=True)
        there = {file for tracklet in images.tracklets for file in tracklet.files}
        there.update(images.junk, images.unmatched)
    training, testing, listed = check_index(report, index, again)
    if index.pseudo:
        report.add(
            "note",
            f"Its tracklets are {PSEUDO}: {KINDS[PSEUDO]}",
            f"Nothing: {NO_VIDEO}.",
        )
    kind = PSEUDO if index.pseudo else "tracklets"
    report.counts |= {
        "train identities": len(training),
        "test identities": len(testing),
        "cameras": len({tracklet.camera for tracklet in listed}),
        **{f"{split} {kind}": len(index.of(split)) for split in SPLITS},
        "frames": sum(len(tracklet.frames) for tracklet in listed),
    }
    if images is None:
        check_order(report, [(one.place, one.frames) for one in listed], INDEX, again)
    else:
        _check_against_names(report, listed, images.tracklets, again)
    named = [file for tracklet in listed for file in tracklet.files]
    report.add(
        "error",
        f"Frames that {INDEX} names more than once",
        again,
        [file for file, times in Counter(named).items() if times > 1],
    )
    report.add(
        "error",
        f"Frames of {INDEX} that are not on disk",
        f"Restore them, or go on without: {again.partition(': ')[2]}",
        [file for file in named if file not in there],
    )
    unused = {file for tracklet in chosen.tracklets for file in tracklet.files} - set(named)
    if index.purpose == "train":  # distractors are of no use to it
        unused -= {one.files[0] for one in chosen.tracklets if not one.identity}
    report.add(
        "warning",
        f"Frames on disk that {INDEX} does not name, and that are not used",
        again,
        sorted(unused),
    )
    return [f"{report.folder}/{file}" for file in named if file in there]


def _scanned(report: Report) -> Tree:
    """Return the content of a plain tree, and report deviations from its shape."""
    tree = scan(report.folder)
    for problem in tree.problems:
        report.add(
            "warning",
            f"There are {problem.what}, expected {report.folder}/{SHAPE}",
            problem.remedy,
            problem.places,
        )
    _note_strangers(report, tree.skipped)
    return tree


def _grouped(report: Report, index: Index, pattern: Pattern) -> Grouping | None:
    """Return the images of a folder as its pattern groups them, and report the other files.

    If they cannot be grouped, that is reported alone.
    """
    try:
        images = group(report.folder, pattern, str(index.made["by"]))
    except DataError as error:
        report.add("error", str(error), "Restore the images, with the names that they had.")
        return None
    _note_strangers(report, images.skipped)
    report.add(
        "note",
        f"Images that the pattern {pattern.text} marks as junk, and that are not used",
        "Nothing.",
        images.junk,
    )
    report.add(
        "note",
        f"Images that do not match the pattern {pattern.text}, and that are not used",
        "Nothing; but if people are to be among them, convert with a pattern that matches them.",
        images.unmatched,
    )
    return images


def _note_strangers(report: Report, skipped: Iterable[str]) -> None:
    report.add(
        "note",
        "Files and folders in the tree that are no frames, and are not used",
        f"Nothing; but if there are frames among them, convert them to one of {', '.join(IMAGES)}.",
        strangers(skipped),
    )


def _check_against_names(
    report: Report,
    listed: Sequence[PlainTracklet],
    grouped: Sequence[PlainTracklet],
    again: str,
) -> None:
    """Report tracklets of images that the index has otherwise than the images' names say."""
    shown = {file: (one.identity, one.camera) for one in grouped for file in one.files}
    report.add(
        "error",
        f"Images that {INDEX} has under another person or camera than their names say",
        again,
        [
            file
            for one in listed
            for file in one.files
            if shown.get(file, (one.identity, one.camera)) != (one.identity, one.camera)
        ],
    )
    times = {file: time for one in grouped for time, file in enumerate(one.files)}
    order = [[times[file] for file in one.files if file in times] for one in listed]
    report.add(
        "warning",
        f"Tracklets whose frames are not in time order in {INDEX}",
        again,
        [one.place for one, found in zip(listed, order, strict=True) if found != sorted(found)],
    )
