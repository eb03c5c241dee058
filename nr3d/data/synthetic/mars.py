"""Writes a synthetic video re-identification dataset in the layout of MARS."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from nr3d.data.synthetic.cameras import Camera, sample_camera
from nr3d.data.synthetic.people import Person, sample_people
from nr3d.data.synthetic.render import film_tracklet
from nr3d.errors import ConfigError, DataError

GENERATOR_VERSION = 1

_TRACKLET = 103
_LENGTH = 104
_STRANGERS = 24
_STRANGER_STREAM = 1
_STAMP = "synthetic.json"
_MAT_HEADER = b"MATLAB 5.0 MAT-file, written by nr3d"


@dataclass(frozen=True)
class SyntheticSummary:
    """What ``write_mars`` wrote, or found already written.

    Args:
        root: the folder that holds ``mars``; torchreid's ``root``.
        identities: people in the train and test halves together, distractors not counted.
        seed: the dataset's seed.
        train_identities: people in the train half.
        test_identities: people in the test half.
        train_tracklets: tracklets in the train half.
        query: query tracklets.
        gallery: gallery tracklets without the queries, as torchreid counts; distractors included.
        frames: frames on disk.
        cameras: number of cameras.
    """

    root: Path
    identities: int
    seed: int
    train_identities: int
    test_identities: int
    train_tracklets: int
    query: int
    gallery: int
    frames: int
    cameras: int


@dataclass(frozen=True)
class Tracklet:
    """One tracklet to film: who, which camera, which take, and how it is used."""

    pid: int
    camid: int
    number: int
    frames: int
    person: Person
    split: str
    query: bool = False

    def name(self, frame: int) -> str:
        """MARS's file name of a frame, counted from 1."""
        return f"{self.pid:04d}C{self.camid}T{self.number:04d}F{frame:03d}.jpg"


def _check(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ConfigError(f"{name} must be a whole number, got {value!r}")
    if not low <= value <= high:
        raise ConfigError(
            f"{name} is {value}, expected {low} to {high}; choose another value for {name}"
        )


def _plan(
    identities: int, seed: int, tracklets_per_camera: int, cameras: int, frames: tuple[int, int]
) -> list[Tracklet]:
    """List all tracklets in the order of MARS's tables: train, then test with distractors first."""
    people = sample_people(seed, identities)
    strangers = sample_people(seed, _STRANGERS, _STRANGER_STREAM)
    train = identities - identities // 2

    def tracklet(pid: int, camid: int, number: int, person: Person, query: bool) -> Tracklet:
        rng = np.random.default_rng([seed, _LENGTH, pid, camid, number])
        length = int(rng.integers(frames[0], frames[1] + 1))
        split = "train" if 0 < pid <= train else "test"
        return Tracklet(pid, camid, number, length, person, split, query)

    def takes(pid: int) -> list[Tracklet]:
        found = []
        for camid in range(1, cameras + 1):
            # with one take a camera, every second camera keeps its take in the gallery
            asks = pid > train and (tracklets_per_camera > 1 or (camid + pid) % 2 == 0)
            for number in range(1, tracklets_per_camera + 1):
                found.append(tracklet(pid, camid, number, people[pid - 1], asks and number == 1))
        return found

    distractors = []
    count = min(_STRANGERS, max(2, identities // 8))
    for index in range(count):
        camid, number = 1 + index % cameras, 1 + index // cameras
        distractors.append(tracklet(0, camid, number, strangers[index], False))
    distractors.sort(key=lambda item: (item.camid, item.number))
    plan = [take for pid in range(1, train + 1) for take in takes(pid)]
    plan += distractors
    return plan + [take for pid in range(train + 1, identities + 1) for take in takes(pid)]


def _film(
    tracklet: Tracklet, camera: Camera, seed: int, strangers: list[Person], folder: Path
) -> list[float]:
    """Write the frames of one tracklet; return how much of the person is hidden in each."""
    rng = np.random.default_rng([seed, _TRACKLET, tracklet.pid, tracklet.camid, tracklet.number])
    home = folder / f"bbox_{tracklet.split}" / f"{tracklet.pid:04d}"
    home.mkdir(parents=True, exist_ok=True)
    hidden = []
    film = film_tracklet(tracklet.person, camera, tracklet.frames, rng, strangers)
    for number, frame in enumerate(film, start=1):
        bgr = np.ascontiguousarray(frame.image[..., ::-1])
        done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, camera.quality])
        if not done:
            raise DataError(f"OpenCV could not encode {tracklet.name(number)} as JPEG")
        (home / tracklet.name(number)).write_bytes(data.tobytes())
        hidden.append(frame.occluded)
    return hidden


@dataclass(frozen=True)
class _Film:
    """Films any tracklet of a plan, in any order and process: each has a generator of its own."""

    plan: Sequence[Tracklet]
    cameras: Sequence[Camera]
    seed: int
    strangers: list[Person]
    folder: Path

    def __call__(self, index: int) -> list[float]:
        tracklet = self.plan[index]
        camera = self.cameras[tracklet.camid - 1]
        return _film(tracklet, camera, self.seed, self.strangers, self.folder)


_of_this_process: list[_Film] = []
"""What a forked process films; its tasks are then numbers only."""


def _begin(film: _Film) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops, and stops the others
    cv2.setNumThreads(1)  # OpenCV's own threads do not survive a fork
    _of_this_process[:] = [film]


def _film_here(index: int) -> list[float]:
    return _of_this_process[0](index)


@contextlib.contextmanager
def _in_processes(film: _Film) -> Iterator[Iterable[list[float]]]:
    """Film with a process for each processor where they can be forked, else in this one.

    Processes that are started anew would run a user's script once more that has no main guard. No
    process writes any more when the block ends, however it ends.
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


def _write_mat(path: Path, key: str, table: np.ndarray) -> None:
    """Save one array as MATLAB 5 with a fixed header: SciPy's holds the time of day."""
    from scipy.io import savemat

    buffer = io.BytesIO()
    savemat(buffer, {key: table})
    path.write_bytes(_MAT_HEADER.ljust(116) + buffer.getvalue()[116:])


def _write_info(
    folder: Path, plan: Sequence[Tracklet], hidden: Sequence[list[float]], stamp: dict[str, Any]
) -> None:
    info = folder / "info"
    info.mkdir()
    for split in ("train", "test"):
        names: list[str] = []
        rows = []
        for tracklet in plan:
            if tracklet.split == split:
                rows.append(
                    (len(names) + 1, len(names) + tracklet.frames, tracklet.pid, tracklet.camid)
                )
                names += [tracklet.name(number) for number in range(1, tracklet.frames + 1)]
        (info / f"{split}_name.txt").write_bytes("".join(f"{n}\n" for n in names).encode())
        table = np.array(rows, np.int32)
        _write_mat(info / f"tracks_{split}_info.mat", f"track_{split}_info", table)
    tests = [tracklet for tracklet in plan if tracklet.split == "test"]
    queries = [row for row, tracklet in enumerate(tests, start=1) if tracklet.query]
    _write_mat(info / "query_IDX.mat", "query_IDX", np.array([queries], np.int32))
    lines = [
        f"{tracklet.name(number)} {share:.2f}\n"
        for tracklet, shares in zip(plan, hidden, strict=True)
        for number, share in enumerate(shares, start=1)
    ]
    (info / "occlusion.txt").write_bytes("".join(lines).encode())
    (info / _STAMP).write_bytes((json.dumps(stamp, indent=2, sort_keys=True) + "\n").encode())


def _read_existing(mars: Path, settings: dict[str, Any]) -> SyntheticSummary:
    """Summary of a folder that holds the wanted dataset already; DataError where it does not."""
    advice = "choose another --out or delete that folder"
    try:
        stamp = json.loads((mars / "info" / _STAMP).read_text(encoding="utf-8"))
        found, counts = stamp["settings"], stamp["counts"]
        summary = SyntheticSummary(root=mars.parent, **counts)
    except FileNotFoundError:
        raise DataError(
            f"{mars} exists and was not written by nr3d synthesize (it has no info/{_STAMP}); "
            f"{advice}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{mars} exists and its info/{_STAMP} cannot be read ({error}); {advice}"
        ) from error
    if found != settings:
        differing = ", ".join(
            f"{key} {found.get(key)!r} instead of {settings[key]!r}"
            for key in sorted(settings)
            if found.get(key) != settings[key]
        )
        raise DataError(f"{mars} holds another synthetic dataset ({differing}); {advice}")
    return summary


def write_mars(
    out: str | Path,
    identities: int = 64,
    seed: int = 0,
    *,
    tracklets_per_camera: int = 2,
    cameras: int = 4,
    frames: tuple[int, int] = (6, 10),
    progress: Callable[[Sequence[Tracklet]], Iterable[Tracklet]] | None = None,
) -> SyntheticSummary:
    """Draw a dataset of walking people in MARS's layout, which torchreid's ``mars`` loads.

    The first half of the identities trains, the other half tests. Same settings and seed, same
    bytes in every file. ``info/occlusion.txt`` tells for each frame which fraction of the person is
    hidden. A dataset that is already there with the same settings is left as it is.

    Reference:
        Layout: Zheng et al. MARS: A Video Benchmark for Large-Scale Person Re-identification.
        ECCV 2016.

    Args:
        out: torchreid's root; ``out/mars`` is written.
        identities: people in both halves together, 4 to 9999.
        seed: any whole number from 0.
        tracklets_per_camera: tracklets of a person under each camera, 1 to 99.
        cameras: 2 to 6.
        frames: least and greatest number of frames of a tracklet, 1 to 999.
        progress: wraps the list of tracklets while they are drawn, as ``tqdm`` does.

    Raises:
        ConfigError: an argument is out of its range.
        DataError: ``out/mars`` exists and is something else.

    Examples::

        from nr3d.data.synthetic import write_mars
        summary = write_mars("data", identities=8, seed=1)
        torchreid.data.VideoDataManager(root=str(summary.root), sources="mars")
    """
    low, high = frames
    _check("identities", identities, 4, 9999)
    _check("seed", seed, 0, 2**63 - 1)
    _check("tracklets_per_camera", tracklets_per_camera, 1, 99)
    _check("cameras", cameras, 2, 6)
    _check("frames (least)", low, 1, 999)
    _check("frames (greatest)", high, low, 999)
    settings = {
        "generator": GENERATOR_VERSION,
        "identities": int(identities),
        "seed": int(seed),
        "tracklets_per_camera": int(tracklets_per_camera),
        "cameras": int(cameras),
        "frames": [int(low), int(high)],
    }
    root = Path(out)
    mars = root / "mars"
    if mars.exists():
        return _read_existing(mars, settings)
    plan = _plan(identities, seed, tracklets_per_camera, cameras, (low, high))
    tests = [tracklet for tracklet in plan if tracklet.split == "test"]
    summary = SyntheticSummary(
        root=root,
        identities=int(identities),
        seed=int(seed),
        train_identities=identities - identities // 2,
        test_identities=identities // 2,
        train_tracklets=len(plan) - len(tests),
        query=sum(tracklet.query for tracklet in tests),
        gallery=sum(not tracklet.query for tracklet in tests),
        frames=sum(tracklet.frames for tracklet in plan),
        cameras=int(cameras),
    )
    counts = {key: value for key, value in asdict(summary).items() if key != "root"}
    root.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".mars-partial-", dir=root))
    try:
        # mkdtemp's folder is private; the one inside gets the permissions of any other folder
        folder = partial / "mars"
        folder.mkdir()
        setup = [sample_camera(seed, index) for index in range(1, cameras + 1)]
        strangers = sample_people(seed, _STRANGERS, _STRANGER_STREAM)
        film = _Film(plan, setup, seed, strangers, folder)
        watched = iter(plan if progress is None else progress(plan))
        with _in_processes(film) as filmed:
            hidden = [shares for shares, _ in zip(filmed, watched, strict=True)]
        _write_info(folder, plan, hidden, {"settings": settings, "counts": counts})
        folder.rename(mars)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return summary
