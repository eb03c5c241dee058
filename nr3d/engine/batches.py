"""Batches on the device that trains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

Batch = dict[str, Any]


def on_device(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield batches with their tensors on a device.

    On a GPU each batch is copied from pinned memory while the one before it is in use.

    Args:
        batches: dicts of tensors and other values; the latter are passed on unchanged.
        device: device of the tensors in the yielded batches.

    Yields:
        dict: the next batch.
    """
    if device.type != "cuda":
        for batch in batches:
            yield _moved(batch, device)
        return
    copying: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    waiting: tuple[Batch, torch.cuda.Event] | None = None
    for batch in batches:
        with torch.cuda.stream(copying):
            copied = _moved(batch, device), copying.record_event()
        if waiting is not None:
            yield _copied(*waiting, device)
        waiting = copied
    if waiting is not None:
        yield _copied(*waiting, device)


def _moved(batch: Batch, device: torch.device) -> Batch:
    return {
        key: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for key, value in batch.items()
    }


def _copied(batch: Batch, done: torch.cuda.Event, device: torch.device) -> Batch:
    """Make the computing stream wait for a copy, and keep the copy's memory until it is used."""
    computing = torch.cuda.current_stream(device)
    computing.wait_event(done)
    for value in batch.values():
        if isinstance(value, Tensor):
            value.record_stream(computing)
    return batch
