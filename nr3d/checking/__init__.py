"""Checks of a dataset before hours are spent on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nr3d.checking.converted import check_converted
from nr3d.checking.frames import Progress, check_readable
from nr3d.checking.ilidsvid import check_ilidsvid
from nr3d.checking.mars import check_mars
from nr3d.checking.prid2011 import check_prid2011
from nr3d.data.converted.index import INDEX
from nr3d.data.datasets.findings import LEVELS, Finding, Report
from nr3d.data.folders import is_name
from nr3d.data.layouts import LAYOUTS, layout_of, refuse_other_name
from nr3d.errors import ConfigError, DataError
from nr3d.files.home import expanded
from nr3d.registry import registered_image_datasets

_CHECKS: dict[str, Callable[[Report], list[str]]] = {
    "mars": check_mars,
    "prid2011": check_prid2011,
    "ilidsvid": check_ilidsvid,
}
"""Checks of the published datasets, by torchreid's names."""


def check_dataset(
    name: str, root: str | Path, *, quick: bool = False, progress: Progress | None = None
) -> Report:
    """Check a dataset: its layout, tables and splits, its counts, and the order of its frames.

    Unless ``quick`` is set, every frame is decoded too.

    Args:
        name: ``'mars'``, ``'prid2011'``, ``'ilidsvid'``, or the folder of a converted dataset.
        root: folder that holds the datasets' folders.
        quick: whether to decode no frame.
        progress: function that wraps an iterable of a number of frames while they are decoded, as
            ``tqdm`` does.

    Returns:
        Report: the counts and findings. What is wrong with the dataset is reported, not raised.

    Raises:
        ConfigError: if there is no check for the dataset.
        DataError: if there is no folder ``root``.

    Examples:
        >>> report = nr3d.checking.check_dataset("mars", "reid-data")  # doctest: +SKIP
        >>> for finding in report.of("error"):  # doctest: +SKIP
        ...     print(finding.what, finding.places[:3], finding.remedy)
    """
    root = expanded(root, DataError).absolute()
    if not root.is_dir():
        raise DataError(
            f"There is no folder {root}: give the folder that holds the datasets' folders, by "
            "--root on the command line or root= in Python."
        )
    report = Report(name, root / layout_of(name).folder)
    own = name in LAYOUTS or (report.folder / INDEX).exists()
    if not own and name in registered_image_datasets():
        raise ConfigError(
            f"There is no check for {name!r}, a dataset of images that torchreid reads itself: "
            f"expected one of {', '.join(LAYOUTS)}, or the folder of a converted dataset."
        )
    refuse_other_name(name, report.folder)
    if name not in LAYOUTS and not (is_name(name) and report.folder.is_dir()):
        raise ConfigError(
            f"There is no check for dataset {name!r}, and no folder {report.folder}: expected one "
            f"of {', '.join(LAYOUTS)}, or the folder of a converted dataset."
        )
    try:
        frames = _CHECKS.get(name, check_converted)(report)
    except OSError as error:
        report.add_refusal(error)
        return report
    if frames:
        check_readable(report, frames, quick, progress)
    return report


__all__ = ["LEVELS", "Finding", "Progress", "Report", "check_dataset"]
