"""A training order that is fixed by its seed and epoch, whoever drew random numbers before."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sized
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import Sampler

from nr3d.parallel import World


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
        batch_size: of the batches that the order is cut into; what is left at its end is dropped.
        world: the processes of the run; this one gets its part of every batch.

    Raises:
        ValueError: if a batch cannot be shared equally.
    """

    def __init__(
        self,
        sampler: IndexSampler,
        seed: int = 0,
        batch_size: int = 1,
        world: World = World(),  # noqa: B008 - immutable
    ) -> None:
        if batch_size % world.size:
            raise ValueError(
                f"train.batch_size is {batch_size}, expected a multiple of the run's "
                f"{world.size} processes"
            )
        self.sampler = sampler
        self.seed = seed
        self.batch_size = batch_size
        self.share = batch_size // world.size
        self.world = world
        self.epoch = 0
        self.first_batch = 0
        self._drawn: tuple[int, list[int]] | None = None

    def set_epoch(self, epoch: int, first_batch: int = 0) -> None:
        """Say which epoch (from 0) the next iteration is; without it they are counted.

        Args:
            epoch: its number.
            first_batch: the batch to begin at; those before it are left out.
        """
        self.epoch, self.first_batch = epoch, first_batch

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
        order, epoch, first_batch = self.order(), self.epoch, self.first_batch
        self.epoch, self.first_batch = epoch + 1, 0
        for batch in range(first_batch, len(order) // self.batch_size):
            first = batch * self.batch_size + self.world.rank * self.share
            for position in range(first, first + self.share):
                yield order[position], (self.seed, epoch, position)

    def __len__(self) -> int:
        # Counted, not estimated: torchreid's identity sampler promises more than it yields.
        return len(self.order()) // self.batch_size * self.share
