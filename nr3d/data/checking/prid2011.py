"""PRID2011: its two cameras' folders and its file of splits."""

from __future__ import annotations

from nr3d.data.checking.findings import Report
from nr3d.data.checking.layout import find_missing
from nr3d.data.checking.two_cameras import check_sequences, check_splits, people_under
from nr3d.data.splits import (
    PRID2011_CAMERAS,
    PRID2011_MIN_FRAMES,
    PRID2011_SHARED,
    SPLIT_FILES,
    is_shared,
    is_synthetic,
    parse_splits,
    splits_mend,
)
from nr3d.errors import DataError

PUBLISHED = {
    "people under cam_a": 385,
    "people under cam_b": 749,
    "people under both": PRID2011_SHARED,
    "splits": 10,
    "train people a split": 89,
    "test people a split": 89,
}
"""Reference:
    Hirzer et al. Person Re-Identification by Descriptive and Discriminative Classification.
    SCIA 2011. Splits: Wang et al. Person Re-Identification by Video Ranking. ECCV 2014.
"""


def check_prid2011(report: Report) -> list[str]:
    """Check all of PRID2011 but whether its frames can be decoded.

    Args:
        report: of the dataset; takes the counts and findings.

    Returns:
        list: the frames that its loader uses.
    """
    folder = report.folder
    again = f"Unpack multi_shot of PRID2011 into {folder / 'prid_2011'}, whole."
    path = folder.parent / SPLIT_FILES["prid2011"]
    mend = splits_mend("prid2011", folder.parent)
    needed = dict.fromkeys(PRID2011_CAMERAS, again) | {path.name: mend}
    missing = find_missing(report, needed)
    if missing & set(PRID2011_CAMERAS):
        return []
    cameras = {camera: people_under(report, camera) for camera in PRID2011_CAMERAS}
    first, second = cameras.values()
    report.counts["people under cam_a"] = len(first)
    report.counts["people under cam_b"] = len(second)
    both = [person for person in first.keys() & second.keys() if is_shared(person, folder)]
    report.counts["people under both"] = len(both)
    frames: list[str] = []
    if path.name not in missing:
        try:
            splits = parse_splits(path)
        except DataError as error:
            report.add("error", str(error), mend)
        else:
            people = check_splits(report, path.name, splits, mend)
            report.add(
                "error",
                f"People of {path.name} above number {PRID2011_SHARED}, who are others under "
                "either camera",
                mend,
                [person for person in people if not is_shared(person, folder)],
            )
            frames = check_sequences(report, cameras, people, path.name, again)
            report.add(
                "note",
                f"People of {path.name} with fewer frames than the published protocol asks for "
                f"({PRID2011_MIN_FRAMES} under each camera)",
                "Nothing, if the splits are meant so.",
                [
                    f"{camera}/{person}: {len(there[person])}"
                    for camera, there in cameras.items()
                    for person in people
                    if not is_synthetic(folder)
                    and 0 < len(there.get(person, ())) < PRID2011_MIN_FRAMES
                ],
            )
    report.compare(PUBLISHED, synthetic=is_synthetic(folder))
    return frames
