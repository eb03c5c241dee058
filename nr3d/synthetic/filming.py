"""Films all tracklets of a plan into their files, in as many processes as there are processors."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from nr3d.errors import DataError
from nr3d.processes.children import follow_parent
from nr3d.synthetic.cameras import Camera
from nr3d.synthetic.layout import Layout, Tracklet
from nr3d.synthetic.people import Person
from nr3d.synthetic.render import film_tracklet

_TRACKLET = 103


@dataclass(frozen=True)
class Film:
    """Films any tracklet of a plan, in any order and process: each has a generator of its own.

    Args:
        layout: where the frames go.
        plan: the tracklets.
        cameras: those that they name, in order.
        strangers: people who walk in front or stand in the background.
        occluded: share of the tracklets that something passes in front of.
        folder: the dataset's folder.
    """

    layout: Layout
    plan: Sequence[Tracklet]
    cameras: Sequence[Camera]
    strangers: list[Person]
    occluded: float
    folder: Path

    def __call__(self, index: int) -> list[float]:
        """Write the frames of one tracklet; return how much of the person is hidden in each."""
        tracklet = self.plan[index]
        camera = self.cameras[tracklet.camid - 1]
        names = (tracklet.pid, tracklet.camid, tracklet.number)
        rng = np.random.default_rng([self.layout.film_seed, _TRACKLET, *names])
        paths = [self.folder / self.layout.path(tracklet, n) for n in tracklet.numbers]
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        film = film_tracklet(
            tracklet.person, camera, tracklet.frames, rng, self.strangers, self.occluded
        )
        hidden = []
        for path, frame in zip(paths, film, strict=True):
            path.write_bytes(_encode(frame.image, path, self.layout.size, camera.quality))
            hidden.append(frame.occluded)
        return hidden


def _encode(image: np.ndarray, path: Path, size: tuple[int, int], quality: int) -> bytes:
    """Give a frame's file: JPEG of the camera's quality or PNG, by its name's ending."""
    bgr = np.ascontiguousarray(image[..., ::-1])
    if size != bgr.shape[:2]:
        bgr = np.asarray(cv2.resize(bgr, size[::-1], interpolation=cv2.INTER_AREA))
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else []
    done, data = cv2.imencode(path.suffix, bgr, options)
    if not done:
        raise DataError(f"OpenCV could not encode {path.name}")
    encoded: bytes = data.tobytes()
    return encoded


_of_this_process: list[Film] = []
"""What a forked process films; its tasks are then numbers only."""


def _begin(film: Film) -> None:
    follow_parent()
    cv2.setNumThreads(1)  # OpenCV's own threads do not survive a fork
    _of_this_process[:] = [film]


def _film_here(index: int) -> list[float]:
    return _of_this_process[0](index)


@contextlib.contextmanager
def in_processes(film: Film) -> Iterator[Iterable[list[float]]]:
    """Film with a process for each processor where they can be forked, else in this one.

    Processes that are started anew would run a user's script once more that has no main guard. No
    process writes any more when the block ends, however it ends.

    Yields:
        The hidden shares of each tracklet's frames, in the plan's order.
    """
    processes = os.cpu_count() or 1
    if processes == 1 or multiprocessing.get_start_method() != "fork":
        yield (film(index) for index in range(len(film.plan)))
        return
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, context, _begin, (film,)) as pool:
        try:
            yield pool.map(_film_here, range(len(film.plan)))
        finally:
            pool.shutdown(cancel_futures=True)
