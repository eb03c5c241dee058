"""Looks at a dataset before hours are spent on it."""

from __future__ import annotations

from pathlib import Path

from nr3d.checking.findings import LEVELS, Finding, Report
from nr3d.checking.frames import Progress, check_readable
from nr3d.checking.layouts import LAYOUTS, checked, layout_of, refuse_other_name
from nr3d.data.converted.tree import is_name
from nr3d.errors import ConfigError, DataError
from nr3d.files.home import expanded


def check_dataset(
    name: str, root: str | Path, *, quick: bool = False, progress: Progress | None = None
) -> Report:
    """Check a dataset: its layout, tables and splits, its counts, the order of frames, the frames.

    Args:
        name: ``'mars'``, ``'prid2011'``, ``'ilidsvid'``, or the folder of a converted dataset.
        root: folder that holds the datasets' folders.
        quick: decode no frame.
        progress: wraps an iterable of so many frames while they are decoded, as ``tqdm`` does.

    Returns:
        Report: counts and findings; what is wrong with the dataset is in it and not raised.

    Raises:
        ConfigError: for a dataset that there is no check for.
        DataError: if there is no folder ``root``.

    Examples::

        report = nr3d.checking.check_dataset("mars", "reid-data", quick=True)
        for finding in report.of("error"):
            print(finding.what, finding.places[:3], finding.mend)
    """
    root = expanded(root, DataError).absolute()
    if not root.is_dir():
        raise DataError(
            f"There is no folder {root}: give the folder that holds the datasets' folders, by "
            "--root on the command line or root= in Python."
        )
    layout = layout_of(name)
    report = Report(name, root / layout.folder)
    refuse_other_name(name, report.folder)
    if name not in LAYOUTS and not (is_name(name) and report.folder.is_dir()):
        raise ConfigError(
            f"There is no check for dataset {name!r}, and no folder {report.folder}: expected one "
            f"of {', '.join(LAYOUTS)}, or the folder of a converted dataset."
        )
    frames = checked(report, layout)
    if frames:
        check_readable(report, frames, quick, progress)
    return report


__all__ = ["LEVELS", "Finding", "Progress", "Report", "check_dataset"]
