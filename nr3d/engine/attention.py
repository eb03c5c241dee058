"""The health of an attention while it is trained, from the weights of the training clips."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from nr3d import parallel
from nr3d.models import ClipFeatures
from nr3d.models.aggregations.attention_health import (
    FIGURES,
    AttentionHealth,
    clip_figures,
    health_of,
)

PREFIX = "attention_"
"""Start of the names of the figures, among those of the losses."""

Value = TypeVar("Value")

ADVICE = (
    "all frames of a clip have the same weight, so that the features are those of "
    "model.aggregation mean. Set not3d.attention live or, if it is set, another "
    "not3d.attention_lr_mult."
)
"""What a flat attention means, and what to do."""


class AttentionWatch:
    """Watch over the weights that an attention gives to the frames of the training clips.

    Args:
        network: network; one whose aggregation does not attend is not watched.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self._weights: list[Tensor] = []

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the network's forward passes within a block."""
        network: Any = self.network
        if not getattr(network, "attends", False):
            yield
            return
        hook = network.aggregation.register_forward_hook(self._take)
        try:
            yield
        finally:
            hook.remove()
            self._weights.clear()

    @property
    def learns(self) -> bool:
        """Whether the attention is there and not frozen."""
        network: Any = self.network
        return getattr(network, "attends", False) and any(
            parameter.requires_grad for parameter in network.aggregation.parameters()
        )

    def figures(self, frames: int, erased: Tensor | None) -> dict[str, Tensor]:
        """Return the figures of the clips that passed since the last call, of all processes.

        Args:
            frames: T, number of frames of each clip.
            erased: 1 where random erasing hit the frame, else 0, (B, T); None if it is unknown.

        Returns:
            dict: scalars by name, see :func:`clip_figures`; empty while nothing is watched, and
            for clips of a single frame or time step.
        """
        passes, self._weights = self._weights, []
        if not passes or frames < 2 or passes[0].shape[1] < 2:
            return {}
        # The replicas of DataParallel pass in any order, each on its own device.
        passes.sort(key=lambda weights: weights.device.index or 0)
        weights = torch.cat([part.to(passes[0].device) for part in passes]).float()
        weights = ClipFeatures(weights, weights, weights).over_frames(frames).weights  # (B, T)
        if erased is not None and erased.shape != weights.shape:
            erased = None
        found = clip_figures(weights, erased)
        if parallel.world().size > 1:
            found = parallel.add_up(found) / parallel.world().size
        return dict(zip((PREFIX + name for name in FIGURES), found.unbind(), strict=True))

    def _take(self, _module: nn.Module, _args: Any, aggregated: ClipFeatures) -> None:
        self._weights.append(aggregated.weights.detach())


def taken_out(figures: dict[str, Value]) -> dict[str, Value]:
    """Remove the attention's figures, or their sums, from those by name, and return them."""
    return {name: figures.pop(name) for name in list(figures) if name.startswith(PREFIX)}


def health_in(figures: Mapping[str, float]) -> AttentionHealth | None:
    """Return the health that the attention's figures amount to; None if there are none."""
    own = {name: figures.get(PREFIX + name) for name in FIGURES}
    known = {name: value for name, value in own.items() if value is not None}
    return health_of(known) if len(known) == len(FIGURES) else None


def health_in_sums(sums: Mapping[str, tuple[float, int]]) -> AttentionHealth | None:
    """Return the health of the epoch so far, from the sums and counts of its figures."""
    return health_in({name: total / count for name, (total, count) in sums.items()})


def record_of(health: AttentionHealth | None) -> dict[str, float | None]:
    """Return the figures of a health as records and curves name them; empty for None."""
    if health is None:
        return {}
    return {
        f"{PREFIX}flat": health.flat,
        f"{PREFIX}largest": health.largest,
        f"{PREFIX}erased_over_clean": health.erased_over_clean,
    }
