"""Loaders whose errors reach the user as they were raised."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from nr3d.children import are_signals_handled, follow_parent, held_back
from nr3d.errors import Nr3dError


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


class GuardedLoader(DataLoader[Any]):
    """A loader that raises its dataset's own errors and gathers the frames that were left out.

    Args:
        dataset: its items, or what is collated of them, are dicts with ``bad_frames``.
        bad_frames: where these are gathered.
        options: of torch's loader.
    """

    def __init__(self, dataset: Dataset[Any], bad_frames: set[str], **options: Any) -> None:
        # A generator of its own: a loader draws a number as it starts, and the run's must not
        # depend on how often that was. The items have seeds of their own.
        if options.get("num_workers") and are_signals_handled():
            options["worker_init_fn"] = _begin
        super().__init__(Guarded(dataset), generator=torch.Generator(), **options)
        self.skipped = bad_frames

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        with held_back() if self.worker_init_fn is _begin else contextlib.nullcontext():
            batches = super().__iter__()
        for batch in batches:
            if isinstance(batch, Nr3dError):
                raise batch
            self.skipped.update(batch.pop("bad_frames"))
            yield batch


def _begin(worker: int) -> None:
    """Let a loader process go on when the run is asked to stop: its step is finished first."""
    follow_parent()
