"""Converted datasets, read into tracklets."""

from __future__ import annotations

from collections import Counter

from nr3d.data.converted.index import INDEX, Index, index_remedy, read_index
from nr3d.data.converted.tree import PlainTracklet
from nr3d.data.datasets.answers import check_answers
from nr3d.data.datasets.findings import Report
from nr3d.data.datasets.parts import SPLITS, Parts


def read_converted(report: Report, _: int = 0) -> Parts | None:
    """Read the tracklets of a converted dataset, without looking for the frames.

    Args:
        report: report of the dataset, which takes the findings.

    Returns:
        Parts: the tracklets; None if an error was reported.

    Raises:
        DataError: if the index is missing or is no index.
    """
    index = read_index(report.folder)
    check_index(report, index, index_remedy(report.folder, index.made))
    return None if report.of("error") else index.parts(report.folder)


def check_index(
    report: Report, index: Index, again: str
) -> tuple[set[str], set[str], list[PlainTracklet]]:
    """Check which identities and tracklets are in which split.

    Args:
        report: report of the dataset, which takes the findings.
        index: the index.
        again: advice on how to get a correct index.

    Returns:
        tuple: the identities that train, those that test, and all tracklets.
    """
    listed = index.of(*SPLITS)
    training, testing = (
        {tracklet.identity for tracklet in index.of(*splits) if tracklet.identity}
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
    if index.purpose != "train":
        check_answers(
            report,
            INDEX,
            [(one.place, one.identity, one.camera) for one in index.of("query")],
            [(one.identity, one.camera) for one in index.of("gallery")],
            again,
        )
    return training, testing, listed
