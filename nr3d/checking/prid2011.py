"""PRID2011: its two cameras' folders and its file of splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nr3d.checking.findings import Report
from nr3d.checking.layout import find_missing
from nr3d.checking.parts import Parts
from nr3d.checking.two_cameras import (
    People,
    check_sequences,
    check_splits,
    people_under,
    read_sequences,
)
from nr3d.data.splits import (
    PRID2011_CAMERAS,
    PRID2011_MIN_FRAMES,
    PRID2011_SHARED,
    SPLIT_FILES,
    Split,
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

_SPLITS = Path(SPLIT_FILES["prid2011"]).name


def check_prid2011(report: Report) -> list[str]:
    """Check all of PRID2011 but whether its frames can be decoded.

    Args:
        report: of the dataset; takes the counts and findings.

    Returns:
        list: the frames that its loader uses.
    """
    folder = report.folder
    cameras = _cameras(report)
    if cameras is None:
        return []
    first, second = cameras.values()
    report.counts["people under cam_a"] = len(first)
    report.counts["people under cam_b"] = len(second)
    both = [person for person in first.keys() & second.keys() if is_shared(person, folder)]
    report.counts["people under both"] = len(both)
    frames: list[str] = []
    splits = _splits(report)
    if splits:
        people = check_splits(report, _SPLITS, splits, _mend(report))
        _check_shared(report, people)
        frames = check_sequences(report, cameras, people, _SPLITS, _again(report))
        report.add(
            "note",
            f"People of {_SPLITS} with fewer frames than the published protocol asks for "
            f"({PRID2011_MIN_FRAMES} under each camera)",
            "Nothing, if the splits are meant so.",
            [
                f"{camera}/{person}: {len(there[person])}"
                for camera, there in cameras.items()
                for person in people
                if not is_synthetic(folder) and 0 < len(there.get(person, ())) < PRID2011_MIN_FRAMES
            ],
        )
    report.compare(PUBLISHED, synthetic=is_synthetic(folder))
    return frames


def read_prid2011(report: Report, number: int) -> Parts | None:
    """Read a split's tracklets as torchreid does, or report why they cannot be.

    Args:
        report: of the dataset; takes the errors.
        number: of the split, from 0.

    Raises:
        ConfigError: if there is no such split.
    """
    cameras = _cameras(report)
    splits = _splits(report)
    if cameras is None or not splits:
        return None
    if 0 <= number < len(splits):
        _check_shared(report, [person for part in splits[number].values() for person in part])
    mend, again = _mend(report), _again(report)
    return read_sequences(report, cameras, splits, number, _SPLITS, mend, again)


def _cameras(report: Report) -> dict[str, People] | None:
    """List the cameras' folders; report what is missing, the file of splits too."""
    needed = dict.fromkeys(PRID2011_CAMERAS, _again(report)) | {_SPLITS: _mend(report)}
    if find_missing(report, needed) & set(PRID2011_CAMERAS):
        return None
    return {camera: people_under(report, camera) for camera in PRID2011_CAMERAS}


def _splits(report: Report) -> list[Split]:
    """Read the splits; none, reported here or before, if they cannot be."""
    path = report.folder / _SPLITS
    if not path.exists():
        return []
    try:
        return parse_splits(path)
    except DataError as error:
        report.add("error", str(error), _mend(report))
        return []


def _check_shared(report: Report, people: Sequence[str]) -> None:
    report.add(
        "error",
        f"People of {_SPLITS} above number {PRID2011_SHARED}, who are others under either camera",
        _mend(report),
        [person for person in people if not is_shared(person, report.folder)],
    )


def _mend(report: Report) -> str:
    return splits_mend("prid2011", report.folder.parent)


def _again(report: Report) -> str:
    return f"Unpack multi_shot of PRID2011 into {report.folder / 'prid_2011'}, whole."
