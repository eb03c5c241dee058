"""Tracklets as torch datasets: random clips for training, all frames for testing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from nr3d.data.frames import in_time_order, read_frame
from nr3d.data.sampling import (
    TEST_SAMPLE_METHODS,
    clips_of_test,
    consecutive_frames,
    evenly,
    random_frames,
    restricted_random,
    restricted_with_rest,
)
from nr3d.data.transforms import ClipTransform
from nr3d.errors import DataError, FrameError, Nr3dError

Tracklet = tuple[tuple[str, ...], int, int, int]
"""torchreid's tuple of frame paths, pid, camid and dsetid."""

BAD_FRAMES = ("error", "skip")
"""Treatments of a frame that cannot be read."""

_ClipDraw = Callable[[int, int, np.random.Generator], list[int]]


def _draw_evenly(frames: int, seq_len: int, rng: np.random.Generator) -> list[int]:
    return evenly(frames, seq_len)


# Named functions, since they are sent to spawned processes.
_DRAWS: dict[str, _ClipDraw] = {
    "restricted": restricted_random,
    "restricted_rest": restricted_with_rest,
    "random": random_frames,
    "consecutive": consecutive_frames,
    "evenly": _draw_evenly,
}


class TrackletItem(TypedDict, total=False):
    """An item of training, or after collation a batch."""

    img: Tensor
    """Clip, (T, 3, H, W), or in a batch (B, T, 3, H, W)."""
    pid: Any
    camid: Any
    dsetid: Any
    erased: Tensor
    """(T,), or in a batch (B, T), 1 for each frame that was hit by random erasing."""
    tracklet: Any
    """Label of the tracklet, for messages."""
    bad_frames: list[str]
    """Paths of the frames that could not be read and were left out."""


class Tracklets:
    """Tracklets and the reading of their frames, in training and in testing."""

    def __init__(
        self,
        tracklets: Sequence[Tracklet],
        transform: ClipTransform,
        seq_len: int,
        bad_frames: str = "error",
    ) -> None:
        if bad_frames not in BAD_FRAMES:
            raise ValueError(f"bad_frames is {bad_frames!r}, expected one of {list(BAD_FRAMES)}")
        if seq_len < 1:
            raise ValueError(f"seq_len is {seq_len}, expected at least 1 frame a clip")
        for paths, pid, camid, _ in tracklets:
            if not paths:
                raise DataError(
                    f"A tracklet of pid {pid} under camid {camid} has no frames: take it out of "
                    "the dataset."
                )
        self.tracklets: list[Tracklet] = [
            (in_time_order(paths), int(pid), int(camid), int(dsetid))
            for paths, pid, camid, dsetid in tracklets
        ]
        self.transform = transform
        self.seq_len = seq_len
        self.bad_frames = bad_frames

    def __len__(self) -> int:
        return len(self.tracklets)

    def name(self, index: int) -> str:
        """Return the label of a tracklet, for messages."""
        paths, pid, camid, _ = self.tracklets[index]
        first = Path(paths[0])
        return f"{first.parent.name}/{first.stem} (pid {pid}, camid {camid}, {len(paths)} frames)"

    def read(self, index: int, position: int, bad: list[str]) -> Image.Image | None:
        """Read a frame; an unreadable one is added to ``bad``, with None, or raises FrameError."""
        path = self.tracklets[index][0][position]
        try:
            return read_frame(path, self.name(index))
        except FrameError:
            if self.bad_frames == "error":
                raise
            bad.append(path)
            return None

    def no_frame_left(self, index: int) -> DataError:
        """Return the error for a tracklet without a readable frame."""
        return DataError(
            f"Tracklet {self.name(index)} has no readable frame; its first is "
            f"{self.tracklets[index][0][0]}. Restore its files or take it out of the dataset."
        )


class ClipDataset(Tracklets, Dataset[TrackletItem]):
    """Dataset of training: one clip of T frames for each draw of a tracklet.

    An item is requested by ``(index, seed)``. The seed, a tuple of ints, fixes every random draw of
    the item, which therefore does not depend on the worker that makes it. A plain index is drawn
    with the seed (0, index).

    Args:
        tracklets: torchreid's tuples of frame paths, pid, camid and dsetid.
        transform: the augmentation.
        seq_len: T, number of frames of a clip. Paper: 4.
        sample_method: method that draws the frames of a clip, ``'restricted'`` (paper),
            ``'restricted_rest'`` (public code), ``'random'``, ``'consecutive'`` or ``'evenly'``.
        bad_frames: treatment of a frame that cannot be read: ``'error'`` raises an error,
            ``'skip'`` uses the other frames of the tracklet.
        cache_frames: whether to keep every frame that was read in memory, resized.

    Raises:
        ValueError: if ``sample_method`` or ``bad_frames`` has another value.
        FrameError: when an item is made, if a frame cannot be read.
        DataError: when an item is made, if no frame of its tracklet can be read.
    """

    def __init__(
        self,
        tracklets: Sequence[Tracklet],
        transform: ClipTransform,
        seq_len: int = 4,
        sample_method: str = "restricted",
        bad_frames: str = "error",
        cache_frames: bool = False,
    ) -> None:
        super().__init__(tracklets, transform, seq_len, bad_frames)
        self.cache: dict[str, Image.Image] | None = {} if cache_frames else None
        if sample_method not in _DRAWS:
            raise ValueError(
                f"sample_method is {sample_method!r}, expected one of {sorted(_DRAWS)}"
            )
        self.draw = _DRAWS[sample_method]

    @property
    def clip_bytes(self) -> int:
        """Size of the clip of an item, in bytes."""
        return self.seq_len * 3 * self.transform.height * self.transform.width * 4

    @property
    def cache_bytes(self) -> int:
        """Size of all resized frames in Pillow's memory, at 4 bytes a pixel, in bytes."""
        frames = len({path for paths, *_ in self.tracklets for path in paths})
        return frames * self.transform.height * self.transform.width * 4

    def read(self, index: int, position: int, bad: list[str]) -> Image.Image | None:
        """Read a frame as the base class does, or take it from memory if it is kept there."""
        if self.cache is None:
            return super().read(index, position, bad)
        path = self.tracklets[index][0][position]
        if path not in self.cache:
            frame = super().read(index, position, bad)
            if frame is None:
                return None
            self.cache[path] = self.transform.resize(frame)
        return self.cache[path]

    def __getitem__(self, request: int | tuple[int, tuple[int, ...]]) -> TrackletItem:
        index, seed = request if isinstance(request, tuple) else (request, (0, request))
        rng = np.random.default_rng(seed)
        paths, pid, camid, dsetid = self.tracklets[index]
        bad: list[str] = []
        usable = list(range(len(paths)))
        read: dict[int, Image.Image] = {}
        while usable:
            clip = [usable[i] for i in self.draw(len(usable), self.seq_len, rng)]
            for position in clip:
                if position not in read:
                    frame = self.read(index, position, bad)
                    if frame is None:
                        usable.remove(position)
                        break  # draw again from the other frames
                    read[position] = frame
            else:
                img, erased = self.transform([read[position] for position in clip], rng)
                return TrackletItem(
                    img=img,
                    pid=pid,
                    camid=camid,
                    dsetid=dsetid,
                    erased=erased,
                    tracklet=self.name(index),
                    bad_frames=bad,
                )
        raise self.no_frame_left(index)


class TestTracklets(Tracklets):
    """Tracklets of testing: which frames are read, and which clips they make.

    :class:`nr3d.data.FrameLoader` reads the frames.

    Args:
        tracklets: torchreid's tuples of frame paths, pid, camid and dsetid.
        transform: the transform, without augmentation.
        seq_len: T, number of frames of a clip. Paper: 4.
        sample_method: method that makes the clips of a tracklet: ``'dense'`` (paper) puts every
            frame in one clip, ``'evenly'`` makes a single clip of T frames, ``'whole'`` a single
            clip of all frames.
        bad_frames: treatment of a frame that cannot be read: ``'error'`` raises an error,
            ``'skip'`` treats the tracklet as if it had only its other frames.
        max_clips: largest number of dense clips of a tracklet, whose later frames are then not
            read; 0 for no limit (paper). Public code of the method takes 41.

    Raises:
        ValueError: if ``sample_method`` or ``bad_frames`` has another value, or ``max_clips`` is
            negative.
        FrameError: when a frame is requested that cannot be read.
    """

    __test__ = False  # not a pytest class

    def __init__(
        self,
        tracklets: Sequence[Tracklet],
        transform: ClipTransform,
        seq_len: int = 4,
        sample_method: str = "dense",
        bad_frames: str = "error",
        max_clips: int = 0,
    ) -> None:
        super().__init__(tracklets, transform, seq_len, bad_frames)
        if sample_method not in TEST_SAMPLE_METHODS:
            raise ValueError(
                f"sample_method is {sample_method!r}, expected one of {list(TEST_SAMPLE_METHODS)}"
            )
        if max_clips < 0:
            raise ValueError(f"max_clips is {max_clips}, expected 0 or more")
        self.sample_method = sample_method
        self.max_clips = max_clips

    def positions(self, index: int) -> Sequence[int]:
        """Return the positions of the frames of a tracklet that are read, in time order."""
        frames = len(self.tracklets[index][0])
        if self.sample_method == "whole":
            return range(frames)
        if self.sample_method == "dense":
            return range(min(frames, self.max_clips * self.seq_len) if self.max_clips else frames)
        return sorted(set(evenly(frames, self.seq_len)))

    def pixels(self, index: int, position: int, bad: list[str]) -> npt.NDArray[np.uint8] | None:
        """Return the pixels of a resized frame, (H, W, 3), or None as :meth:`read` does."""
        frame = self.read(index, position, bad)
        return None if frame is None else np.asarray(self.transform.resize(frame))

    def clips(self, frames: int) -> list[list[int]]:
        """Return the clips of a tracklet, as positions among its frames that were read."""
        return clips_of_test(frames, self.seq_len, self.sample_method)

    def settled(self, frames: int) -> int:
        """Return how many clips the first frames of a tracklet make, however many follow."""
        return frames // self.seq_len if self.sample_method == "dense" else 0


def collate(items: Sequence[TrackletItem | Nr3dError]) -> TrackletItem | Nr3dError:
    """Return a batch of training, or the first error among the items."""
    good: list[TrackletItem] = []
    for item in items:
        if isinstance(item, Nr3dError):
            return item
        good.append(item)
    bad_frames = [path for item in good for path in item["bad_frames"]]
    batch: TrackletItem = default_collate(
        [{key: value for key, value in item.items() if key != "bad_frames"} for item in good]
    )
    batch["bad_frames"] = bad_frames
    return batch
