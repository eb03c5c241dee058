"""Check of PRID2011: its two cameras' folders and its file of splits."""

from __future__ import annotations

from nr3d.checking.two_cameras import check_sequences
from nr3d.data.datasets.findings import Report
from nr3d.data.datasets.prid2011 import (
    PRID2011_SPLITS,
    check_shared,
    frames_again,
    read_cameras,
    read_splits_file,
    splits_again,
)
from nr3d.data.datasets.splits import (
    PRID2011_MIN_FRAMES,
    PRID2011_SHARED,
    is_shared,
    is_synthetic,
)
from nr3d.data.datasets.two_cameras import check_splits

PUBLISHED = {
    "people under cam_a": 385,
    "people under cam_b": 749,
    "people under both": PRID2011_SHARED,
    "splits": 10,
    "train people a split": 89,
    "test people a split": 89,
}
"""Counts of the published dataset.

Reference:
    Hirzer et al. Person Re-Identification by Descriptive and Discriminative Classification.
    SCIA 2011. Splits: Wang et al. Person Re-Identification by Video Ranking. ECCV 2014.
"""


def check_prid2011(report: Report) -> list[str]:
    """Check everything of PRID2011 except whether its frames can be decoded.

    Args:
        report: report of the dataset, which takes the counts and findings.

    Returns:
        list: paths of the frames that the loader uses.
    """
    folder = report.folder
    synthetic = is_synthetic(folder)
    cameras = read_cameras(report)
    if cameras is None:
        return []
    first, second = cameras.values()
    report.counts["people under cam_a"] = len(first)
    report.counts["people under cam_b"] = len(second)
    both = [person for person in first.keys() & second.keys() if is_shared(person, folder)]
    report.counts["people under both"] = len(both)
    frames: list[str] = []
    splits = read_splits_file(report)
    if splits:
        people = check_splits(report, PRID2011_SPLITS, splits, splits_again(report))
        check_shared(report, people)
        frames = check_sequences(report, cameras, people, PRID2011_SPLITS, frames_again(report))
        report.add(
            "note",
            f"People of {PRID2011_SPLITS} with fewer frames than the published protocol asks for "
            f"({PRID2011_MIN_FRAMES} under each camera)",
            "Nothing, if the splits are meant so.",
            [
                f"{camera}/{person}: {len(there[person])}"
                for camera, there in cameras.items()
                for person in people
                if not synthetic and 0 < len(there.get(person, ())) < PRID2011_MIN_FRAMES
            ],
        )
    report.compare(PUBLISHED, synthetic=synthetic)
    return frames
