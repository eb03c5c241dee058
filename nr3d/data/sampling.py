"""Sampling of clips: which frames of a tracklet make a clip, in training and in testing."""

from __future__ import annotations

import numpy as np

TEST_SAMPLE_METHODS = ("dense", "evenly", "whole")
"""Methods that make the clips of a test tracklet."""


def restricted_random(frames: int, seq_len: int, rng: np.random.Generator) -> list[int]:
    """Draw one frame from each of ``seq_len`` equal chunks of a tracklet, in time order.

    The clip spans the whole tracklet, and each draw yields other frames. A tracklet that is shorter
    than the clip repeats frames, still in time order.

    Reference:
        Li et al. Diversity Regularized Spatiotemporal Attention for Video-Based Person
        Re-identification. CVPR 2018. arXiv:1803.09882.

    Args:
        frames: number of frames of the tracklet, at least 1.
        seq_len: T, number of frames of a clip. Paper: 4.
        rng: generator of the random draws.

    Returns:
        list of int: T indices of frames, which never decrease.

    Examples:
        >>> restricted_random(8, 4, np.random.default_rng(0))
        [1, 3, 5, 6]
    """
    clip = []
    for chunk in range(seq_len):
        first = frames * chunk // seq_len
        # A chunk that is shorter than a frame takes the frame that it starts in.
        last = max(first + 1, frames * (chunk + 1) // seq_len)
        clip.append(int(rng.integers(first, last)))
    return clip


def restricted_with_rest(frames: int, seq_len: int, rng: np.random.Generator) -> list[int]:
    """Draw one frame from each chunk of a tracklet, where the last chunk takes the rest.

    The chunks have ``frames // seq_len`` frames, at least one, and the last one has in addition all
    that are left, up to ``seq_len - 1``. A tracklet that is shorter than the clip repeats its last
    frame. Public code of the method draws like this. Arguments and result are those of
    :func:`restricted_random`, and so are the draws where ``seq_len`` divides ``frames``.

    Examples:
        >>> restricted_with_rest(7, 4, np.random.default_rng(0))
        [0, 1, 2, 6]
    """
    size = max(1, frames // seq_len)
    clip = []
    for chunk in range(seq_len):
        first = min(size * chunk, frames - 1)
        end = frames if chunk == seq_len - 1 else min(size * (chunk + 1), frames)
        clip.append(int(rng.integers(first, end)))
    return clip


def random_frames(frames: int, seq_len: int, rng: np.random.Generator) -> list[int]:
    """Draw frames from the whole tracklet, in time order, as torchreid's ``random`` does.

    Frames repeat only if the tracklet is shorter than the clip. Arguments and result are those of
    :func:`restricted_random`.
    """
    drawn = rng.choice(frames, size=seq_len, replace=frames < seq_len)
    return sorted(int(index) for index in drawn)


def consecutive_frames(frames: int, seq_len: int, rng: np.random.Generator) -> list[int]:
    """Draw consecutive frames from a random place of a tracklet.

    A tracklet that is shorter than the clip is repeated from its start. Arguments and result are
    those of :func:`restricted_random`, except that the indices then start again.

    Examples:
        >>> consecutive_frames(8, 4, np.random.default_rng(0)), consecutive_frames(2, 4, None)
        ([4, 5, 6, 7], [0, 1, 0, 1])
    """
    if frames <= seq_len:
        return [index % frames for index in range(seq_len)]
    start = int(rng.integers(frames - seq_len + 1))
    return list(range(start, start + seq_len))


def evenly(frames: int, seq_len: int) -> list[int]:
    """Return frames at equal steps, as torchreid's ``evenly`` does.

    A tracklet that is shorter than the clip repeats its last frame.

    Args:
        frames: number of frames of the tracklet, at least 1.
        seq_len: T, number of frames of a clip.

    Returns:
        list of int: T indices of frames, which never decrease.
    """
    if frames < seq_len:
        return [*range(frames), *[frames - 1] * (seq_len - frames)]
    step = (frames - frames % seq_len) // seq_len
    return [step * position for position in range(seq_len)]


def dense_clips(frames: int, seq_len: int) -> list[list[int]]:
    """Cut a tracklet into consecutive clips that use every frame once.

    The last clip is filled up with its own frames, repeated from its start.

    Reference:
        Alsehaim and Breckon. Not 3D Re-ID. ICPR 2020. arXiv:2008.06318.

    Args:
        frames: number of frames of the tracklet, at least 1.
        seq_len: T, number of frames of a clip.

    Returns:
        list of list of int: ⌈frames / T⌉ clips of T indices of frames.

    Examples:
        >>> dense_clips(6, 4)
        [[0, 1, 2, 3], [4, 5, 4, 5]]
    """
    clips = []
    for start in range(0, frames, seq_len):
        own = list(range(start, min(start + seq_len, frames)))
        clips.append([own[position % len(own)] for position in range(seq_len)])
    return clips


def clips_of_test(frames: int, seq_len: int, sample_method: str) -> list[list[int]]:
    """Return the clips that a tracklet is tested by.

    Args:
        frames: number of frames read of the tracklet, at least 1.
        seq_len: T, number of frames of a clip.
        sample_method: ``'dense'`` (paper) for clips of all frames, ``'evenly'`` for a single clip,
            ``'whole'`` for a single clip of all frames.

    Examples:
        >>> clips_of_test(6, 4, "dense"), clips_of_test(3, 4, "evenly")
        ([[0, 1, 2, 3], [4, 5, 4, 5]], [[0, 1, 2, 2]])
    """
    if sample_method == "dense":
        return dense_clips(frames, seq_len)
    if sample_method == "whole":
        return [list(range(frames))]
    return [evenly(frames, seq_len)]
