"""The health of an attention, from the frame weights of tracklets."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nr3d.config import KEYS
from nr3d.data.sampling import clips_of_test
from nr3d.models import AGGREGATIONS, AttentionHealth, find_architecture
from nr3d.models.aggregations.attention_health import are_flat
from nr3d.models.aggregations.registry import attends


@dataclass(frozen=True)
class AttentionSums:
    """Sums over the clips by which an attention is judged: those of at least two frames.

    Args:
        clips: number of the clips.
        flat: number of those whose frames all have the same weight.
        largest: sum of the largest weight of each.

    Examples:
        >>> (AttentionSums(3, 0, 1.5) + AttentionSums(1, 1, 0.25)).health
        AttentionHealth(flat=0.25, largest=0.4375, erased_over_clean=None)
        >>> AttentionSums().health
    """

    clips: int = 0
    flat: int = 0
    largest: float = 0.0

    def __add__(self, other: AttentionSums) -> AttentionSums:
        """Return the sums over the clips of both."""
        return AttentionSums(
            self.clips + other.clips, self.flat + other.flat, self.largest + other.largest
        )

    @property
    def health(self) -> AttentionHealth | None:
        """The health of the attention; None if there is no clip to judge by."""
        if not self.clips:
            return None
        return AttentionHealth(self.flat / self.clips, self.largest / self.clips)


def weights_in_clips(
    frame_weights: npt.NDArray[np.floating[Any]], clips: Sequence[Sequence[int]]
) -> npt.NDArray[np.floating[Any]]:
    """Return the weights of the frames in each clip of tracklets of the same length.

    A frame that is repeated to fill its clip has the sum of its weights there, which is divided by
    the number of its places, so that the frames of a flat clip are equal.

    Args:
        frame_weights: share of each frame in the feature of its clip, (..., frames); those of a
            clip sum to 1.
        clips: positions of the frames of each clip, (n, T).

    Returns:
        Array: weights, (..., n, T).

    Examples:
        >>> weights_in_clips(np.array([0.25, 0.75]), [[0, 1, 0, 1]]).tolist()
        [[0.125, 0.375, 0.125, 0.375]]
    """
    places = np.array(clips)  # (n, T)
    times = np.bincount(places.ravel(), minlength=frame_weights.shape[-1]).clip(1)
    of_clips: npt.NDArray[np.floating[Any]] = (frame_weights / times)[..., places]
    return of_clips


def sums_of_tracklets(
    frame_weights: Iterable[npt.NDArray[np.floating[Any]]],
    clips_of: Callable[[int], Sequence[Sequence[int]]],
) -> AttentionSums:
    """Return the sums over the clips of tracklets.

    Args:
        frame_weights: share of each frame in the feature of its clip, (frames,) for each tracklet.
            If any is not finite, the tracklet counts as without clips.
        clips_of: function from a number of frames to the positions of the frames of each clip.

    Examples:
        >>> shares = np.array([0.25, 0.25, 0.25, 0.25, 0.7, 0.3], np.float32)
        >>> sums = sums_of_tracklets([shares], lambda frames: [[0, 1, 2, 3], [4, 5, 4, 5]])
        >>> sums.clips, sums.flat, round(sums.largest, 3)
        (2, 1, 0.6)
    """
    by_length: dict[int, list[npt.NDArray[np.floating[Any]]]] = {}
    for own in frame_weights:
        by_length.setdefault(len(own), []).append(own)
    total = AttentionSums()
    for frames, alike in by_length.items():
        clips = clips_of(frames)  # (n, T)
        several = [min(clip) < max(clip) for clip in clips]
        weights = weights_in_clips(np.stack(alike), clips)[:, several]  # (tracklets, m, T)
        weights = weights[np.isfinite(weights).all(axis=(1, 2))].reshape(-1, len(clips[0]))
        flat = are_flat(torch.from_numpy(weights))
        total += AttentionSums(len(weights), int(flat.sum()), float(weights.max(axis=1).sum()))
    return total


def attends_by(settings: Mapping[str, Any]) -> bool:
    """Return whether the network of some settings attends; False for one that is not registered.

    Args:
        settings: values by the short names of their keys, as in a feature store.

    Examples:
        >>> attends_by({"model": "nr3d_resnet18_ibn", "aggregation": "default"})
        True
        >>> attends_by({"model": "nr3d_resnet18_ibn", "aggregation": "mean"})
        False
    """
    name, network = str(settings.get("aggregation")), str(settings.get("model"))
    architecture = find_architecture(network)
    if name == "default" and architecture is not None:
        name = architecture.aggregation
    return name in AGGREGATIONS and attends(AGGREGATIONS[name])


def sums_of_rows(
    settings: Mapping[str, Any],
    frame_weights: Iterable[npt.NDArray[np.floating[Any]]],
    clips: Iterable[int],
) -> AttentionSums:
    """Return the sums over the clips of tracklets that were extracted by some settings.

    Args:
        settings: values by the short names of their keys, as in a feature store.
        frame_weights: as for :func:`sums_of_tracklets`.
        clips: number of the clips of each tracklet.

    Returns:
        AttentionSums: sums over the tracklets that have frames and as many clips as the settings
        make; over none if the settings lack something.
    """
    seq_len, method = settings.get("seq_len"), settings.get("sample_method")
    for name, value in (("video.seq_len", seq_len), ("not3d.test_sample_method", method)):
        if KEYS[name].kind.expected(value) is not None:
            return AttentionSums()

    @functools.cache
    def clips_of(frames: int) -> list[list[int]]:
        return clips_of_test(frames, int(seq_len or 1), str(method))

    fitting = (
        own
        for own, count in zip(frame_weights, clips, strict=True)
        if len(own) and len(clips_of(len(own))) == count
    )
    return sums_of_tracklets(fitting, clips_of)
