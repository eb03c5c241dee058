"""The contract of aggregations: what one returns, and the two stages that one may have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch.nn.functional as F
from torch import Tensor, nn


class ClipFeatures(NamedTuple):
    """The features of B clips of T frames, as an aggregation returns them."""

    features: Tensor
    """(B, C), the weighted mean of the frames' pooled features."""
    scores: Tensor
    """(B, T), the attention score of each frame before the softmax; never negative."""
    weights: Tensor
    """(B, T), the share of each frame in the clip feature; each row sums to 1."""

    def over_frames(self, frames: int) -> ClipFeatures:
        """Return the same with scores and weights of each frame of the clips.

        A trunk that mixes frames may leave fewer places in time than there were frames: each
        frame has then the mean score of the places that it lies in, and its part of their weight.

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
    """An aggregation in two stages, so that each frame goes through the first one once.

    A frame that stands in several clips, or a batch whose frames belong to many clips, then costs
    no more than a frame.
    """

    def of_frames(self, maps: Tensor) -> tuple[Tensor, ...]:
        """Return what clips need of their frames' maps (N, C, h, w): vectors (N, ...)."""

    @property
    def of_clips(self) -> Callable[..., ClipFeatures]:
        """Aggregate clips of what :meth:`of_frames` returned, (B, T, ...) each."""


def aggregate(aggregation: TwoStages, maps: Tensor) -> ClipFeatures:
    """Apply both stages of an aggregation.

    Args:
        aggregation: the two stages.
        maps: feature maps (B, T, C, h, w).

    Raises:
        ValueError: if the maps have another number of dimensions.
    """
    return aggregation.of_clips(*parts_of_clips(aggregation, maps))


def parts_of_clips(aggregation: Any, maps: Tensor) -> tuple[Tensor, ...]:
    """Apply the first stage of an aggregation to the maps of whole clips.

    Args:
        aggregation: one of two stages, or any other, whose only stage is the second.
        maps: feature maps (B, T, C, h, w); for an aggregation without stages whatever it takes.

    Returns:
        tuple of Tensor: the second stage's arguments, (B, T, ...) each.

    Raises:
        ValueError: if there are two stages and the maps have another number of dimensions.
    """
    if not has_stages(aggregation):
        return (maps,)
    if maps.dim() != 5:
        raise ValueError(f"feature maps have shape {tuple(maps.shape)}, expected (B, T, C, h, w)")
    parts = aggregation.of_frames(maps.flatten(0, 1))
    return tuple(part.view(*maps.shape[:2], *part.shape[1:]) for part in parts)


def has_stages(aggregation: object) -> bool:
    """Tell whether an aggregation has the two stages of :class:`TwoStages`."""
    return hasattr(aggregation, "of_frames")


class WholeMaps(nn.Module):
    """The two stages of an aggregation that takes maps (B, T, C, h, w) and has no stages itself.

    Args:
        aggregation: a module that returns :class:`ClipFeatures`.
    """

    def __init__(self, aggregation: nn.Module) -> None:
        super().__init__()
        self.aggregation = aggregation

    def of_frames(self, maps: Tensor) -> tuple[Tensor]:
        """Return the maps as they are."""
        return (maps,)

    def of_clips(self, maps: Tensor) -> ClipFeatures:
        """Aggregate maps (B, T, C, h, w)."""
        aggregated: ClipFeatures = self.aggregation(maps)
        return aggregated
