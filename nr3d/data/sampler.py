"""Orders of training: over identities, and by the seed and the epoch alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence, Sized
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import Sampler

from nr3d.parallel import World


class IndexSampler(Sized, Protocol):
    """Sampler of torchreid or torch: an iterable of indices, with their number."""

    def __iter__(self) -> Iterator[Any]: ...


Request = tuple[int, tuple[int, int, int]]
"""Index of a tracklet, and seed of the draws for it: (seed, epoch, position in the epoch)."""


class IdentityPassSampler(Sampler[int]):
    """Sampler whose epoch passes once over the identities, with some tracklets of each.

    Identities come in random order, each with ``num_instances`` of its tracklets in a row, without
    repetition where it has as many. torchreid's ``RandomIdentitySampler`` instead goes on until
    nearly all tracklets were drawn: on MARS, 109 batches of 64 clips instead of 39. Public code of
    the method passes over the identities.

    Args:
        pids: identity of each tracklet.
        num_instances: number of tracklets of an identity in an epoch, at least 1. Paper: 4.

    Raises:
        ValueError: if ``num_instances`` is below 1.

    Examples:
        >>> sampler = IdentityPassSampler([0, 0, 0, 1, 1, 1], num_instances=2)
        >>> len(list(sampler)), len(sampler)
        (4, 4)
    """

    def __init__(self, pids: Sequence[int], num_instances: int) -> None:
        if num_instances < 1:
            raise ValueError(f"num_instances is {num_instances}, expected at least 1")
        self.num_instances = num_instances
        self.tracklets: dict[int, list[int]] = {}
        for index, pid in enumerate(pids):
            self.tracklets.setdefault(pid, []).append(index)

    def __iter__(self) -> Iterator[int]:
        of_identities = list(self.tracklets.values())
        for position in torch.randperm(len(of_identities)).tolist():
            own = of_identities[position]
            repeat = len(own) < self.num_instances
            yield from np.random.choice(own, size=self.num_instances, replace=repeat).tolist()

    def __len__(self) -> int:
        return len(self.tracklets) * self.num_instances


class SeededSampler(Sampler[Request]):
    """Wrapper of a sampler by which an epoch's order depends on the seed and the epoch alone.

    torchreid's samplers draw from the global random states. These are set for the epoch while the
    sampler draws, and restored afterwards.

    Args:
        sampler: sampler of torchreid or torch, which yields indices of tracklets.
        seed: seed of the run.
        batch_size: B, number of clips of a batch; an incomplete batch at the end is dropped.
        world: this process's place among those of the run; it gets its share of every batch.

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
        """Set the epoch of the next iteration; without this call, iterations are counted.

        Args:
            epoch: number of the epoch, from 0.
            first_batch: number of the batch to begin at; those before it are left out.
        """
        self.epoch, self.first_batch = epoch, first_batch

    def order(self) -> list[int]:
        """Return the indices of tracklets of the current epoch."""
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
        # Counted and not estimated: torchreid's identity sampler announces more than it yields.
        return len(self.order()) // self.batch_size * self.share
