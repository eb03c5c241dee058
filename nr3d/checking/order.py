"""The time order of a dataset's frames, by their names."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterable, Sequence

from nr3d.data.datasets.findings import Report
from nr3d.errors import printable

_LONGEST_NAME = 4000
"""Largest number of characters of a frame's name."""

_DIGITS = re.compile(r"(\d+)")


def check_order(
    report: Report, tracklets: Iterable[tuple[str, Sequence[str]]], source: str, remedy: str
) -> None:
    """Report tracklets whose frames are not in time order, and those with gaps in time.

    The time of a frame is made of the numbers in its name that vary within its tracklet.

    Args:
        report: report of the dataset, which takes the findings.
        tracklets: label of each tracklet, and the names of its frames in the order of their use.
        source: file or folder that defines that order.
        remedy: advice for when that is not the order of time.
    """
    patternless: list[str] = []
    unordered: list[str] = []
    gaps: list[str] = []
    for where, names in tracklets:
        # "cam1_p7_0031.png" → "cam", "1", "_p", "7", "_", "0031", ""
        split = [_DIGITS.split(os.path.splitext(name)[0]) for name in names]  # noqa: PTH122
        pattern = split[0][::2]
        other = next((i for i, parts in enumerate(split) if parts[::2] != pattern), None)
        # A list may hold a longer name than any file has, and Python refuses such long numbers.
        endless = max(map(len, names)) > _LONGEST_NAME
        if other is not None or len(pattern) == 1 or endless:
            unlike = "" if other is None else f" and {names[other]}"
            patternless.append(printable(f"{where}: {names[0]}{unlike}"))
            continue
        columns = list(zip(*(parts[1::2] for parts in split), strict=True))
        varying = [[int(number) for number in column] for column in columns if len(set(column)) > 1]
        times = list(zip(*varying, strict=True)) if varying else [()] * len(names)
        fall = _first(times, lambda before, after: after <= before)
        if fall is not None:
            unordered.append(f"{where}: {names[fall + 1]} comes after {names[fall]}")
        elif len(varying) == 1:
            jump = _first(times, lambda before, after: after[0] > before[0] + 1)
            if jump is not None:
                gaps.append(f"{where}: from {names[jump]} to {names[jump + 1]}")
    report.add(
        "warning",
        "Tracklets whose frames are not named by one pattern with a number in it",
        "Name the frames by their number in time, such as 0001.jpg: the order within a clip is "
        "read from it.",
        patternless,
    )
    report.add(
        "warning", f"Tracklets whose frames are not in time order in {source}", remedy, unordered
    )
    report.add(
        "note",
        "Tracklets with gaps in time",
        "Nothing, where the tracker lost the person; else restore the frames between.",
        gaps,
    )


def _first(
    times: Sequence[tuple[int, ...]], holds: Callable[[tuple[int, ...], tuple[int, ...]], bool]
) -> int | None:
    """Return the first index at which the condition holds for a time and the next one."""
    steps = enumerate(itertools.pairwise(times))
    return next((index for index, (before, after) in steps if holds(before, after)), None)
