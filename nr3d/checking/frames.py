"""Decoding of all frames of a dataset, as training would decode them."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)

from nr3d.data.datasets.findings import Report
from nr3d.data.decoding import CONVERT
from nr3d.data.frames import decode_frame
from nr3d.errors import DataError, FrameError
from nr3d.processes.children import follow_parent

Progress = Callable[[Iterable[str], int], Iterable[str]]
"""Function that wraps an iterable of a number of frames to show its progress, as ``tqdm`` does."""

_CHUNK = 256
"""Number of frames that are decoded in one piece."""

_WORTH_PROCESSES = 5000
"""Least number of frames for processes; fewer are decoded before the processes have started."""


def check_readable(
    report: Report, paths: Sequence[str], quick: bool, progress: Progress | None = None
) -> None:
    """Decode every frame, and report those that cannot be decoded.

    Args:
        report: report of the dataset, which takes the findings.
        paths: paths of the frames that exist.
        quick: whether to decode none, and report that.
        progress: function that wraps the frames to show the progress.
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
        "Unpack these files again, or train and test with data.bad_frames skip, which uses a "
        "tracklet's other frames.",
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
    """Decode frames on all CPUs, as training would.

    Args:
        paths: paths of image files.
        progress: function that wraps the frames to show the progress.
        processes: whether to decode in processes instead of threads. Default depends on the number
            of frames.

    Returns:
        tuple: the frames that cannot be read, each with the reason, and the frames that are turned
        by their EXIF; both in the given order.

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
    # Queried without fixing it for the calling program; the first method is the default.
    method = multiprocessing.get_start_method(allow_none=True)
    method = method or multiprocessing.get_all_start_methods()[0]
    # Processes that are spawned would run a user's script again if it has no main guard.
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
