"""A training order that is fixed by its seed and epoch, whoever drew random numbers before."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sized
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import Sampler


class IndexSampler(Sized, Protocol):
    """What torchreid's and torch's samplers are: indices to iterate over, and their number."""

    def __iter__(self) -> Iterator[Any]: ...


Request = tuple[int, tuple[int, int, int]]
"""A tracklet's index, and the seed of the draws for it: (seed, epoch, position in the epoch)."""


class SeededSampler(Sampler[Request]):
    """Wrap a sampler so that an epoch's order depends on the seed and the epoch alone.

    torchreid's samplers draw from the global random states. Here those states are set for the
    epoch while it draws, and put back as they were.

    Args:
        sampler: torchreid's or torch's, yielding tracklet indices.
        seed: the run's seed.
    """

    def __init__(self, sampler: IndexSampler, seed: int = 0) -> None:
        self.sampler = sampler
        self.seed = seed
        self.epoch = 0
        self._drawn: tuple[int, list[int]] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch (from 0) the next iteration is; without it they are counted."""
        self.epoch = epoch

    def order(self) -> list[int]:
        """The tracklet indices of the current epoch."""
        if self._drawn is None or self._drawn[0] != self.epoch:
            states = random.getstate(), np.random.get_state(), torch.get_rng_state()
            mixed = int(np.random.SeedSequence((self.seed, self.epoch)).generate_state(1)[0])
            random.seed(mixed)
            np.random.seed(mixed)
            torch.manual_seed(mixed)
            try:
                self._drawn = self.epoch, [int(index) for index in self.sampler]
            finally:
                random.setstate(states[0])
                np.random.set_state(states[1])
                torch.set_rng_state(states[2])
        return self._drawn[1]

    def __iter__(self) -> Iterator[Request]:
        order, epoch = self.order(), self.epoch
        self.epoch += 1
        for position, index in enumerate(order):
            yield index, (self.seed, epoch, position)

    def __len__(self) -> int:
        # Counted, not estimated: torchreid's identity sampler promises more than it yields.
        return len(self.order())
