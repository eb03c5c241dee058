"""Filming of all tracklets of a plan, in one process per processor."""

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
    """Function that films any tracklet of a plan.

    Each tracklet has a random generator of its own, so that the order of the tracklets and the
    process do not matter.

    Args:
        layout: layout of the dataset, which names the files of the frames.
        plan: tracklets of the dataset.
        cameras: cameras of the dataset, in the order of their numbers.
        strangers: people who walk in front or stand in the background.
        occluded: share of the tracklets in which something passes in front of the person, 0 to 1.
        folder: folder of the dataset.
    """

    layout: Layout
    plan: Sequence[Tracklet]
    cameras: Sequence[Camera]
    strangers: list[Person]
    occluded: float
    folder: Path

    def __call__(self, index: int) -> list[float]:
        """Write the frames of a tracklet and return the hidden fraction of the person in each."""
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
    """Encode a frame as JPEG of the camera's quality or as PNG, by the suffix of its path."""
    bgr = np.ascontiguousarray(image[..., ::-1])
    if size != bgr.shape[:2]:
        bgr = np.asarray(cv2.resize(bgr, size[::-1], interpolation=cv2.INTER_AREA))
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else []
    done, data = cv2.imencode(path.suffix, bgr, options)
    if not done:
        raise DataError(f"OpenCV could not encode {path.name}.")
    encoded: bytes = data.tobytes()
    return encoded


_of_this_process: list[Film] = []
"""The film of a forked process, whose tasks are then only numbers."""


def _begin(film: Film) -> None:
    follow_parent()
    cv2.setNumThreads(1)  # OpenCV's own threads do not survive a fork
    _of_this_process[:] = [film]


def _film_here(index: int) -> list[float]:
    return _of_this_process[0](index)


@contextlib.contextmanager
def in_processes(film: Film) -> Iterator[Iterable[list[float]]]:
    """Film all tracklets in one process per processor, or in this process if it cannot fork.

    Processes that are started anew would run the script of a user who has no main guard again. When
    the block ends, however it ends, no process is writing any more.

    Args:
        film: function that films a tracklet.

    Yields:
        Iterable: for each tracklet, in the order of the plan, the hidden fractions of its frames.
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
