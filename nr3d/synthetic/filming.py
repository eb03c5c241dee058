"""Filming of all tracklets of a plan, in one process per processor."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from nr3d.errors import DataError
from nr3d.processes.children import follow_parent
from nr3d.synthetic.cameras import Camera
from nr3d.synthetic.layout import Layout, Tracklet
from nr3d.synthetic.people import Person
from nr3d.synthetic.render import film_tracklet
from nr3d.synthetic.troubles import Trouble, sample_troubles
from nr3d.synthetic.truth import FrameTruth

_TRACKLET = 103
_TROUBLES = 106


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
        occlusion: kind of occlusion: ``'usual'`` or ``'heavy'``.
        occluded: share of the tracklets that suffer from it, 0 to 1.
        folder: folder of the dataset.
    """

    layout: Layout
    plan: Sequence[Tracklet]
    cameras: Sequence[Camera]
    strangers: list[Person]
    occlusion: str
    occluded: float
    folder: Path

    @cached_property
    def people(self) -> dict[str, dict[int, Person]]:
        """People by half and identity, without distractors; there is one half of several splits."""
        halves: dict[str, dict[int, Person]] = {}
        for tracklet in self.plan:
            if tracklet.pid != 0:
                halves.setdefault(tracklet.split, {})[tracklet.pid] = tracklet.person
        return halves

    def troubles(self, tracklet: Tracklet) -> list[Trouble | None]:
        """Sample what is wrong with each frame of a tracklet under heavy occlusion."""
        names = (tracklet.pid, tracklet.camid, tracklet.number)
        rng = np.random.default_rng([self.layout.film_seed, _TROUBLES, *names])
        if rng.random() >= self.occluded:
            return [None] * tracklet.frames
        half = self.people[tracklet.split]
        others = [(pid, person) for pid, person in half.items() if pid != tracklet.pid]
        return sample_troubles(rng, tracklet.frames, others)

    def __call__(self, index: int) -> list[FrameTruth]:
        """Write the frames of a tracklet and return the truth of each."""
        tracklet = self.plan[index]
        camera = self.cameras[tracklet.camid - 1]
        names = (tracklet.pid, tracklet.camid, tracklet.number)
        rng = np.random.default_rng([self.layout.film_seed, _TRACKLET, *names])
        paths = [self.folder / self.layout.path(tracklet, n) for n in tracklet.numbers]
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        heavy = self.occlusion == "heavy"
        film = film_tracklet(
            tracklet.person,
            camera,
            tracklet.frames,
            rng,
            self.strangers,
            0.0 if heavy else self.occluded,
            self.troubles(tracklet) if heavy else None,
        )
        truths = []
        for path, frame in zip(paths, film, strict=True):
            path.write_bytes(_encode(frame.image, path, self.layout.size, camera.quality))
            truths.append(frame.truth)
        return truths


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


def _film_here(index: int) -> list[FrameTruth]:
    return _of_this_process[0](index)


@contextlib.contextmanager
def in_processes(film: Film) -> Iterator[Iterable[list[FrameTruth]]]:
    """Film all tracklets in one process per processor, or in this process if it cannot fork.

    Processes that are started anew would run the script of a user who has no main guard again. When
    the block ends, however it ends, no process is writing any more.

    Args:
        film: function that films a tracklet.

    Yields:
        Iterable: for each tracklet, in the order of the plan, the truths of its frames.
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
