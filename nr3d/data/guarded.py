"""Loaders whose errors reach the user unchanged, or as one line that says what to do."""

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

from nr3d.data.loader_deaths import MORE_ROOM, explain_deaths, raise_death
from nr3d.data.memory import SHARED, free_shared, loaders_that_fit
from nr3d.errors import DataError, Nr3dError, reason_of
from nr3d.processes.children import are_signals_handled, follow_parent, held_back

logger = logging.getLogger(__name__)

AHEAD = 2
"""Number of batches that each loader process makes ahead; torch's default."""

_NO_ROOM = re.compile(r"shared memory|/dev/shm|No space left", re.IGNORECASE)


class Guarded(Dataset[Any]):
    """Dataset whose errors for the user leave a loader process as values.

    torch re-raises an error of a loader process with its traceback as the message, which is no
    longer one clear line; :class:`GuardedLoader` raises the error unchanged.

    Args:
        dataset: the dataset that makes the items.
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
    """Collation that puts a batch of a loader process into shared memory at once.

    torch does so when it sends the batch, in a thread whose errors are lost; the other side would
    then wait forever.
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
    """Loader that raises its dataset's own errors and gathers the frames that were left out.

    Args:
        dataset: dataset whose items, or batches of items, are dicts with ``bad_frames``.
        bad_frames: set that takes the paths in ``bad_frames``.
        collate_fn: function that makes a batch of items.
        batch_bytes: size of a batch, in bytes. If the shared memory has too little room for the
            batches, there are fewer loader processes; the batches are the same.
        num_workers: number of loader processes.
        prefetch_factor: number of batches that each loader process makes ahead.
        persistent_workers: whether the loader processes stay for the next epoch.
        options: other options of torch's loader.
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
        # A loader draws a number when it starts. With a generator of its own, the draws of the run
        # do not depend on the number of starts; the items have seeds of their own.
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
            explain_deaths()
        try:
            while True:
                try:
                    batch = next(batches)
                except StopIteration:
                    return
                # A batch cannot be received from a process that has ended after sending it.
                except (RuntimeError, OSError, EOFError) as error:
                    raise_death(error, getattr(batches, "_workers", ()))
                    raise
                if isinstance(batch, Nr3dError):
                    raise batch
                self.skipped.update(batch.pop("bad_frames"))
                yield batch
        except Exception:
            self._abandon(batches)
            raise

    def _abandon(self, batches: Any) -> None:
        """End the loader processes of an iteration that failed.

        Left to the garbage collector, that could happen in a process that was forked meanwhile,
        which cannot join them and prints a traceback.
        """
        if hasattr(batches, "_shutdown_workers"):
            batches._shutdown_workers()
            self._iterator = None


@functools.cache
def _warn(message: str) -> None:
    """Log a warning once, although a run has several loaders."""
    logger.warning("%s", message)


def _begin(worker: int) -> None:
    """Keep a loader process working when the run is asked to stop and finishes its step first."""
    follow_parent()
