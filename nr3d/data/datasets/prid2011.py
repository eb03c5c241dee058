"""PRID2011: its two cameras' folders and its file of splits, read into tracklets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nr3d.data.datasets.findings import Report
from nr3d.data.datasets.parts import Parts
from nr3d.data.datasets.splits import (
    PRID2011_CAMERAS,
    PRID2011_SHARED,
    SPLIT_FILES,
    Split,
    is_shared,
    splits_remedy,
)
from nr3d.data.datasets.two_cameras import People, cameras_in, read_sequences, splits_in

PRID2011_SPLITS = Path(SPLIT_FILES["prid2011"]).name
"""Name of the file of splits."""


def read_prid2011(report: Report, number: int) -> Parts | None:
    """Read the tracklets of a split as torchreid does.

    Args:
        report: report of the dataset, which takes the errors.
        number: number of the split, from 0.

    Returns:
        Parts: the tracklets; None if an error was reported.

    Raises:
        ConfigError: if there is no such split.
    """
    cameras = read_cameras(report)
    splits = read_splits_file(report)
    if cameras is None or not splits:
        return None
    if 0 <= number < len(splits):
        check_shared(report, [person for part in splits[number].values() for person in part])
    remedy, again = splits_again(report), frames_again(report)
    return read_sequences(report, cameras, splits, number, PRID2011_SPLITS, remedy, again)


def read_cameras(report: Report) -> dict[str, People] | None:
    """Return the people under each camera; report missing folders and missing splits."""
    needed = dict.fromkeys(PRID2011_CAMERAS, frames_again(report)) | {
        PRID2011_SPLITS: splits_again(report)
    }
    return cameras_in(report, PRID2011_CAMERAS, needed)


def read_splits_file(report: Report) -> list[Split]:
    """Return the splits; empty if they cannot be read, which has then been reported."""
    path = report.folder / PRID2011_SPLITS
    return splits_in(report, path, splits_again(report)) if path.exists() else []


def check_shared(report: Report, people: Sequence[str]) -> None:
    """Report people of the splits who are not the same person under both cameras."""
    report.add(
        "error",
        f"People of {PRID2011_SPLITS} above number {PRID2011_SHARED}, who are others under either "
        "camera",
        splits_again(report),
        [person for person in people if not is_shared(person, report.folder)],
    )


def splits_again(report: Report) -> str:
    """Return what to do about a wrong or missing file of splits."""
    return splits_remedy("prid2011", report.folder.parent)


def frames_again(report: Report) -> str:
    """Return what to do about missing frames."""
    return f"Unpack multi_shot of PRID2011 into {report.folder / 'prid_2011'}, whole."
