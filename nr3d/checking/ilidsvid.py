"""Check of iLIDS-VID: its two cameras' folders, its table of splits and the file made from it."""

from __future__ import annotations

from nr3d.checking.two_cameras import check_sequences
from nr3d.data.datasets.findings import Report
from nr3d.data.datasets.ilidsvid import find_splits, read_cameras, unpack_again
from nr3d.data.datasets.splits import is_synthetic
from nr3d.data.datasets.two_cameras import check_splits

PUBLISHED = {
    "people under cam1": 300,
    "people under cam2": 300,
    "splits": 10,
    "train people a split": 150,
    "test people a split": 150,
}
"""Counts of the published dataset.

Reference:
    Wang et al. Person Re-Identification by Video Ranking. ECCV 2014.
"""


def check_ilidsvid(report: Report) -> list[str]:
    """Check everything of iLIDS-VID except whether its frames can be decoded.

    Args:
        report: report of the dataset, which takes the counts and findings.

    Returns:
        list: paths of the frames that the loader uses.
    """
    cameras = read_cameras(report)
    if cameras is None:
        return []
    first, second = cameras.values()
    report.counts["people under cam1"] = len(first)
    report.counts["people under cam2"] = len(second)
    source, splits, remedy = find_splits(report, cameras)
    frames: list[str] = []
    if splits:
        people = check_splits(report, source, splits, remedy)
        frames = check_sequences(report, cameras, people, source, unpack_again(report))
    report.compare(PUBLISHED, synthetic=is_synthetic(report.folder))
    return frames
