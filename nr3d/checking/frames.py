"""A dataset's frames: their time order, and whether each can be decoded."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)

from nr3d.checking.findings import Report
from nr3d.data.decoding import CONVERT
from nr3d.data.frames import decode_frame
from nr3d.errors import DataError, FrameError, printable
from nr3d.processes.children import follow_parent

Progress = Callable[[Iterable[str], int], Iterable[str]]
"""Wraps an iterable of so many frames, as ``tqdm`` does, to show how far it is."""

_CHUNK = 256
# Fewer frames are decoded before processes have started.
_WORTH_PROCESSES = 5000
_LONGEST_NAME = 4000
_DIGITS = re.compile(r"(\d+)")


def check_order(
    report: Report, tracklets: Iterable[tuple[str, Sequence[str]]], source: str, mend: str
) -> None:
    """Look whether frames are in time order, and whether some are left out.

    A frame's time is the numbers in its name that are not the same all over its tracklet.

    Args:
        report: of the dataset; takes the findings.
        tracklets: what to call each, and its frames' names in the order they are used.
        source: what gives the order.
        mend: what to do where it is not that of time.
    """
    patternless: list[str] = []
    unordered: list[str] = []
    gaps: list[str] = []
    for where, names in tracklets:
        # "cam1_p7_0031.png" → "cam", "1", "_p", "7", "_", "0031", ""
        split = [_DIGITS.split(os.path.splitext(name)[0]) for name in names]  # noqa: PTH122
        pattern = split[0][::2]
        other = next((i for i, parts in enumerate(split) if parts[::2] != pattern), None)
        # No file has so long a name, but a list may, and Python makes no number of it.
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
        "warning", f"Tracklets whose frames are not in time order in {source}", mend, unordered
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
    """Give the first index at which a time and the next one are like this."""
    steps = enumerate(itertools.pairwise(times))
    return next((index for index, (before, after) in steps if holds(before, after)), None)


def check_readable(
    report: Report, paths: Sequence[str], quick: bool, progress: Progress | None = None
) -> None:
    """Decode every frame and report those that cannot be.

    Args:
        report: of the dataset; takes the findings.
        paths: the frames that are there.
        quick: decode none, and say so.
        progress: shows how far it is.
    """
    if quick:
        report.add(
            "note",
            f"{len(paths):,} frames were not decoded",
            "Leave --quick out to find unreadable ones.",
        )
        return
    report.decoded = len(paths)
    bad, turned = decode_all(paths, progress)

    def place(path: str) -> str:
        return os.path.relpath(path, report.folder)

    report.add(
        "error",
        "Frames that cannot be read",
        "Unpack these files again, or train and test with data.bad_frames skip, which goes on "
        "with a tracklet's other frames.",
        [place(path) for path, reason in bad if not reason.endswith(CONVERT)],
    )
    for kind in dict.fromkeys(reason for _, reason in bad if reason.endswith(CONVERT)):
        report.add(
            "error",
            f"Frames of which each {kind.removesuffix(f': {CONVERT}')}",
            "Convert them to 8 bits, by what their values mean.",
            [place(path) for path, reason in bad if reason == kind],
        )
    report.add(
        "note",
        "Frames that their EXIF says to turn",
        "Nothing: nr3d turns them. torchreid's own loader and others do not; store them upright "
        "where their figures are to compare.",
        [place(path) for path in turned],
    )


def decode_all(
    paths: Sequence[str], progress: Progress | None = None, processes: bool | None = None
) -> tuple[list[tuple[str, str]], list[str]]:
    """Decode frames, on all processors, as training would.

    Args:
        paths: image files.
        progress: shows how far it is.
        processes: in processes, or else in threads. Default is what suits the number of frames.

    Returns:
        tuple: those that cannot be read, each with the reason, and those that are turned as their
        EXIF says; in their order.

    Raises:
        DataError: if a process that decodes is killed, or no other file can be opened.
    """
    bad: list[tuple[str, str]] = []
    turned: list[str] = []
    chunks = [list(paths[i : i + _CHUNK]) for i in range(0, len(paths), _CHUNK)]
    if processes is None:
        processes = len(paths) >= _WORTH_PROCESSES
    done = 0
    with _pool(processes) as pool:
        results = pool.map(_decode_here, chunks)

        def decoded() -> Iterator[str]:
            nonlocal done
            for chunk, (bad_here, turned_here) in zip(chunks, results, strict=True):
                bad.extend(bad_here)
                turned.extend(turned_here)
                done += len(chunk)
                yield from chunk

        try:
            for _ in progress(decoded(), len(paths)) if progress else decoded():
                pass
        except BrokenExecutor as error:
            raise DataError(
                f"A process that decodes frames was killed, at {paths[done]} or one of the "
                f"{min(_CHUNK * (os.cpu_count() or 1), len(paths) - done):,} frames from there. "
                "Usually the memory is full: end other programs, and check again."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)
    return bad, turned


def _pool(processes: bool) -> Executor:
    workers = os.cpu_count() or 1
    # Asked without fixing it for the program that this is called from; the first is the default.
    method = multiprocessing.get_start_method(allow_none=True)
    method = method or multiprocessing.get_all_start_methods()[0]
    # Processes that are started anew would run a user's script once more that has no main guard.
    if processes and workers > 1 and method == "fork":
        return ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), follow_parent)
    return ThreadPoolExecutor(workers)


def _decode_here(paths: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    bad, turned = [], []
    for path in paths:
        try:
            if decode_frame(path, tracklet="").turned:
                turned.append(path)
        except FrameError as error:
            bad.append((path, error.reason))
    return bad, turned
