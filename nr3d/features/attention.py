"""The health of an attention, from the frame weights of tracklets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nr3d.config import KEYS
from nr3d.data.sampling import clips_of_test
from nr3d.models import AGGREGATIONS, ARCHITECTURES, AttentionHealth
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


def sums_of_tracklet(
    frame_weights: npt.NDArray[np.floating[Any]], clips: Sequence[Sequence[int]]
) -> AttentionSums:
    """Return the sums over the clips of a tracklet.

    A frame that is repeated to fill its clip has the sum of its weights there, which is divided by
    the number of its places, so that the frames of a flat clip are equal.

    Args:
        frame_weights: share of each frame in the feature of its clip, (frames,); those of a clip
            sum to 1. If any is not finite, the tracklet counts as without clips.
        clips: positions of the frames of each clip, (n, T).

    Examples:
        >>> shares = np.array([0.25, 0.25, 0.25, 0.25, 0.7, 0.3], np.float32)
        >>> sums = sums_of_tracklet(shares, [[0, 1, 2, 3], [4, 5, 4, 5]])
        >>> sums.clips, sums.flat, round(sums.largest, 3)
        (2, 1, 0.6)
    """
    places = np.array(clips)  # (n, T)
    weights = frame_weights / np.bincount(places.ravel(), minlength=len(frame_weights)).clip(1)
    of_clips = weights[places][places.min(axis=1) < places.max(axis=1)]  # (m, T)
    if not np.isfinite(of_clips).all():
        return AttentionSums()
    flat = are_flat(torch.from_numpy(of_clips))
    return AttentionSums(len(of_clips), int(flat.sum()), float(of_clips.max(axis=1).sum()))


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
    if name == "default" and network in ARCHITECTURES:
        name = ARCHITECTURES[network].aggregation
    return name in AGGREGATIONS and attends(AGGREGATIONS[name])


def sums_of_row(
    settings: Mapping[str, Any], frame_weights: npt.NDArray[np.floating[Any]], clips: int
) -> AttentionSums:
    """Return the sums over the clips of a tracklet that was extracted by some settings.

    Args:
        settings: values by the short names of their keys, as in a feature store.
        frame_weights: as for :func:`sums_of_tracklet`.
        clips: number of the clips.

    Returns:
        AttentionSums: sums over no clip if there are no frames, or if the settings lack something
        or make another number of clips.
    """
    seq_len, method = settings.get("seq_len"), settings.get("sample_method")
    for name, value in (("video.seq_len", seq_len), ("not3d.test_sample_method", method)):
        if KEYS[name].kind.expected(value) is not None:
            return AttentionSums()
    if not len(frame_weights):
        return AttentionSums()
    places = clips_of_test(len(frame_weights), int(seq_len or 1), str(method))
    return sums_of_tracklet(frame_weights, places) if len(places) == clips else AttentionSums()
