"""Loaders whose errors reach the user as they were raised, or as one line that says what to do."""

from __future__ import annotations

import contextlib
import functools
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from nr3d.data.loader_deaths import MORE_ROOM, raise_death, told_of_deaths
from nr3d.data.memory import SHARED, free_shared, loaders_that_fit
from nr3d.errors import DataError, Nr3dError, reason_of
from nr3d.processes.children import are_signals_handled, follow_parent, held_back

logger = logging.getLogger(__name__)

AHEAD = 2
"""Batches that each loader process makes before they are asked for, as torch's default is."""

_NO_ROOM = re.compile(r"shared memory|/dev/shm|No space left", re.IGNORECASE)


class Guarded(Dataset[Any]):
    """A dataset whose errors for the user travel from a loader process as values.

    torch re-raises what a loader process raises with its traceback as the message, which is no
    longer the one clear line; :class:`GuardedLoader` raises the error as it was.
    """

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset: Any = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, request: Any) -> Any:
        try:
            return self.dataset[request]
        except Nr3dError as error:
            return error
        except MemoryError as error:
            return DataError(
                f"There is no memory left to make a batch ({reason_of(error)}): set data.workers "
                "or the batch size lower."
            )


class _Shared:
    """Puts what is collated into shared memory at once, where a loader process made it.

    torch does so as it sends a batch, in a thread whose errors nobody hears of: the other side
    would wait for ever.
    """

    def __init__(self, collate: Callable[[Any], Any]) -> None:
        self.collate = collate

    def __call__(self, items: Any) -> Any:
        if get_worker_info() is None:
            return self.collate(items)
        try:
            batch = self.collate(items)
            for value in batch.values() if isinstance(batch, dict) else ():
                if isinstance(value, Tensor):
                    value.share_memory_()  # type: ignore[no-untyped-call]
            return batch
        except RuntimeError as error:
            if isinstance(error, Nr3dError) or not _NO_ROOM.search(str(error)):
                raise
            return DataError(
                f"The shared memory is full, in which loader processes hand over their batches "
                f"({reason_of(error)}): {MORE_ROOM}."
            )


class GuardedLoader(DataLoader[Any]):
    """A loader that raises its dataset's own errors and gathers the frames that were left out.

    Args:
        dataset: its items, or what is collated of them, are dicts with ``bad_frames``.
        bad_frames: where these are gathered.
        collate_fn: makes a batch of the items.
        batch_bytes: size of a batch. With less room for them in the shared memory there are fewer
            loader processes; the batches are the same.
        num_workers, prefetch_factor, persistent_workers, options: of torch's loader.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        bad_frames: set[str],
        *,
        collate_fn: Callable[[Any], Any],
        batch_bytes: int = 0,
        num_workers: int = 0,
        prefetch_factor: int = AHEAD,
        persistent_workers: bool = False,
        **options: Any,
    ) -> None:
        fitting, ahead = loaders_that_fit(num_workers, prefetch_factor, batch_bytes)
        if fitting < num_workers:
            _warn(
                f"{SHARED} has {(free_shared() or 0) / 2**20:,.0f} MiB free, too little for the "
                f"batches of {num_workers} loader processes, {batch_bytes / 2**20:,.0f} MiB each: "
                f"there are {fitting}, which may be slow. For more {MORE_ROOM}."
            )
        if fitting and are_signals_handled():
            options["worker_init_fn"] = _begin
        # A generator of its own: a loader draws a number as it starts, and the run's must not
        # depend on how often that was. The items have seeds of their own.
        super().__init__(
            Guarded(dataset),
            generator=torch.Generator(),
            collate_fn=_Shared(collate_fn),
            num_workers=fitting,
            prefetch_factor=ahead if fitting else None,
            persistent_workers=persistent_workers and fitting > 0,
            **options,
        )
        self.skipped = bad_frames

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        with held_back() if self.worker_init_fn is _begin else contextlib.nullcontext():
            batches = super().__iter__()
        if self.num_workers:
            told_of_deaths()
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            # A batch that was sent cannot be received from a process that has ended since.
            except (RuntimeError, OSError, EOFError) as error:
                raise_death(error, getattr(batches, "_workers", ()))
                raise
            if isinstance(batch, Nr3dError):
                raise batch
            self.skipped.update(batch.pop("bad_frames"))
            yield batch


@functools.cache
def _warn(message: str) -> None:
    """Say it once: a run has several loaders."""
    logger.warning("%s", message)


def _begin(worker: int) -> None:
    """Let a loader process go on when the run is asked to stop: its step is finished first."""
    follow_parent()
