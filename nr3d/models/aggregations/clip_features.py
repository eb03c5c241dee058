"""The contract of aggregations: what they return, and the two stages that they may have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch.nn.functional as F
from torch import Tensor, nn


class ClipFeatures(NamedTuple):
    """The features of B clips of T frames, as an aggregation returns them."""

    features: Tensor
    """(B, D): the weighted mean of the frames' pooled features where D = C, else what the
    aggregation makes of them."""
    scores: Tensor
    """(B, T), the attention score of each frame before the softmax; at least 0 unless the
    erasing-attention loss is taken on the weights."""
    weights: Tensor
    """(B, T), the share of each frame in the clip feature; each row sums to 1."""

    @classmethod
    def of_equal_frames(cls, features: Tensor, frames: int) -> ClipFeatures:
        """Return clip features (B, D) in which each of T frames counts the same."""
        clips = len(features)
        return cls(
            features,
            scores=features.new_zeros(clips, frames),
            weights=features.new_full((clips, frames), 1 / frames),
        )

    def over_frames(self, frames: int) -> ClipFeatures:
        """Return a copy whose scores and weights are per frame of the clips.

        A trunk that mixes frames may output fewer time steps than there were frames. Each frame
        then gets the mean score of the time steps that it overlaps, and its part of their weight.

        Args:
            frames: T, the number of frames of each clip.

        Examples:
            >>> import torch
            >>> two = torch.tensor([[0.25, 0.75]])
            >>> ClipFeatures(torch.rand(1, 8), two, two).over_frames(4).weights.tolist()
            [[0.125, 0.125, 0.375, 0.375]]
        """
        if self.weights.shape[1] == frames:
            return self
        scores, weights = (
            F.adaptive_avg_pool1d(values[:, None], frames)[:, 0]  # (B, T)
            for values in (self.scores, self.weights)
        )
        return self._replace(scores=scores, weights=weights / weights.sum(dim=1, keepdim=True))


class TwoStages(Protocol):
    """An aggregation in two stages, so that each frame passes through the first one only once.

    A frame that occurs in several clips is then computed once, and the frames of many clips can
    share a batch.
    """

    def of_frames(self, maps: Tensor) -> tuple[Tensor, ...]:
        """Reduce frames' maps (N, C, h, w) to the vectors (N, ...) that clips need."""

    @property
    def of_clips(self) -> Callable[..., ClipFeatures]:
        """Aggregate the output of :meth:`of_frames`, arranged by clip: (B, T, ...) each."""


def aggregate(aggregation: TwoStages, maps: Tensor) -> ClipFeatures:
    """Apply both stages of an aggregation.

    Args:
        aggregation: an aggregation with two stages.
        maps: feature maps (B, T, C, h, w).

    Raises:
        ValueError: if the maps do not have five dimensions.
    """
    return aggregation.of_clips(*parts_of_clips(aggregation, maps))


def parts_of_clips(aggregation: Any, maps: Tensor) -> tuple[Tensor, ...]:
    """Apply the first stage of an aggregation to the maps of whole clips.

    Args:
        aggregation: an aggregation with two stages; any other counts as a second stage alone.
        maps: feature maps (B, T, C, h, w); for an aggregation without stages, whatever it takes.

    Returns:
        tuple of Tensor: the second stage's arguments, (B, T, ...) each.

    Raises:
        ValueError: if there are two stages and the maps do not have five dimensions.
    """
    if not has_stages(aggregation):
        return (maps,)
    if maps.dim() != 5:
        raise ValueError(f"feature maps have shape {tuple(maps.shape)}, expected (B, T, C, h, w)")
    parts = aggregation.of_frames(maps.flatten(0, 1))
    return tuple(part.view(*maps.shape[:2], *part.shape[1:]) for part in parts)


def has_stages(aggregation: object) -> bool:
    """Return whether an aggregation has the two stages of :class:`TwoStages`."""
    return hasattr(aggregation, "of_frames")


class WholeMaps:
    """Adapter that gives two stages to an aggregation of maps (B, T, C, h, w) without any.

    Args:
        aggregation: a module that returns :class:`ClipFeatures`.
    """

    def __init__(self, aggregation: nn.Module) -> None:
        self.aggregation = aggregation

    def of_frames(self, maps: Tensor) -> tuple[Tensor]:
        """Return the maps unchanged."""
        return (maps,)

    def of_clips(self, maps: Tensor) -> ClipFeatures:
        """Aggregate maps (B, T, C, h, w)."""
        aggregated: ClipFeatures = self.aggregation(maps)
        return aggregated
