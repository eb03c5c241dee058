"""Health of an attention: whether its weights still tell the frames of a clip apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nr3d.weights.entry import ATTENTION_STATES

FLAT, ALIVE = ATTENTION_STATES

FLAT_SHARE = 0.99
"""Share of flat clips from which an attention counts as flat."""

_SPREAD = 0.01
"""Largest difference between two weights of a flat clip, in even shares 1/T.

The rounding of bfloat16 is about half of it.
"""

FIGURES = ("flat", "largest", "erased", "clean")
"""Names of what :func:`clip_figures` returns."""


@dataclass(frozen=True)
class AttentionHealth:
    """What the weights of many clips say about the attention that gave them.

    Args:
        flat: share of the clips whose weights are all equal, 0..1; see :func:`are_flat`.
        largest: mean of the largest weight of a clip, 0..1.
        erased_over_clean: mean weight of an erased frame divided by that of a clean one, over the
            clips that hold both; None if no clip does, or if the clean frames have no weight.

    Examples:
        >>> AttentionHealth(flat=1.0, largest=0.25).state
        'flat'
        >>> print(AttentionHealth(flat=0.0, largest=0.392, erased_over_clean=0.517))
        largest 0.39, erased/clean 0.52
    """

    flat: float
    largest: float
    erased_over_clean: float | None = None

    @property
    def state(self) -> str:
        """``'flat'`` if at least 99 % of the clips are, else ``'alive'``."""
        return FLAT if self.flat >= FLAT_SHARE else ALIVE

    def summary(self) -> dict[str, Any]:
        """Return the state and the figures that tests have too, as plain values for JSON."""
        return {"state": self.state, "flat": self.flat, "largest": self.largest}

    def __str__(self) -> str:
        """Return the figures in a few words."""
        if self.state == FLAT:
            return f"{self.flat:.0%} flat"
        ratio = self.erased_over_clean
        return f"largest {self.largest:.2f}" + (
            "" if ratio is None else f", erased/clean {ratio:.2f}"
        )


def are_flat(weights: Tensor) -> Tensor:
    """Return which clips weight all their frames equally, as a mean does.

    A clip of T frames is flat if its largest and its smallest weight differ by 0.01/T at most.

    Args:
        weights: weights of the frames, (B, T).

    Returns:
        Tensor: (B,), of booleans.

    Examples:
        >>> are_flat(torch.tensor([[0.25, 0.25, 0.251, 0.249], [0.26, 0.25, 0.25, 0.24]]))
        tensor([ True, False])
    """
    spread = weights.amax(dim=1) - weights.amin(dim=1)
    return spread <= _SPREAD / weights.shape[1]


def clip_figures(weights: Tensor, erased: Tensor | None = None) -> Tensor:
    """Return the figures of a batch of clips, whose means over batches make the health.

    Args:
        weights: weights of the frames, (B, T) with at least two frames.
        erased: 1 or True where random erasing hit the frame, else 0 or False, (B, T); None if
            it is unknown.

    Returns:
        Tensor: (4,) in float32, means over the B clips in the order of :data:`FIGURES`: whether
        the clip is flat, its largest weight, and the mean weight of its erased and of its clean
        frames, which are 0 for a clip that does not hold both.

    Examples:
        >>> weights = torch.tensor([[0.1, 0.5, 0.4], [0.4, 0.4, 0.2]])
        >>> clip_figures(weights, torch.tensor([[1, 0, 0], [0, 0, 0]])).tolist()[2:]
        [0.05000000074505806, 0.22499999403953552]
    """
    weights = weights.float()
    found = [are_flat(weights).float(), weights.amax(dim=1)]
    if erased is None:
        found += [torch.zeros_like(found[0])] * 2
    else:
        parts = (erased.bool(), ~erased.bool())
        both = parts[0].any(dim=1) & parts[1].any(dim=1)
        for part in parts:
            mean = (weights * part).sum(dim=1) / part.sum(dim=1).clamp(min=1)
            found.append(mean * both)
    return torch.stack(found).mean(dim=1)


def health_of(figures: Mapping[str, float]) -> AttentionHealth:
    """Return the health that figures of :func:`clip_figures` amount to.

    Args:
        figures: means over batches of equal size, by name.

    Examples:
        >>> health_of({"flat": 0.0, "largest": 0.5, "erased": 0.1, "clean": 0.2})
        AttentionHealth(flat=0.0, largest=0.5, erased_over_clean=0.5)
    """
    clean = figures["clean"]
    ratio = figures["erased"] / clean if clean > 0 else None
    return AttentionHealth(figures["flat"], figures["largest"], ratio)


def state_of(healths: Iterable[AttentionHealth | None]) -> str | None:
    """Return the state of an attention that was judged several times.

    Args:
        healths: judgements; None where there was nothing to judge by.

    Returns:
        str | None: ``'alive'`` if any judgement says so, ``'flat'`` if all do, None without any.

    Examples:
        >>> state_of([None, AttentionHealth(1.0, 0.25), AttentionHealth(0.2, 0.4)])
        'alive'
    """
    states = {health.state for health in healths if health is not None}
    return next((state for state in (ALIVE, FLAT) if state in states), None)
