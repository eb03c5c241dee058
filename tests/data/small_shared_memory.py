"""Loads batches that the shared memory has no room for: run where /dev/shm is small."""

from __future__ import annotations

import gc
import logging
import sys
from typing import Any

import torch
from torch.utils.data import Dataset

from nr3d.data.guarded import GuardedLoader
from nr3d.errors import DataError

SIZE = 1_000_000


class Large(Dataset[Any]):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        gc.collect()  # what a process inherits of an earlier loader must not be ended there
        return {"img": torch.full((SIZE,), float(index)), "bad_frames": []}


def first(batch: Any) -> Any:
    return batch


def stacked(batch: Any) -> Any:
    return {"img": torch.stack([item["img"] for item in batch]), "bad_frames": []}


def main() -> None:
    logging.basicConfig(format="%(message)s")
    for collate, options in ((first, {"batch_size": None}), (stacked, {"batch_size": 2})):
        known = GuardedLoader(
            Large(), set(), collate_fn=collate, num_workers=2, batch_bytes=8 * SIZE, **options
        )
        total = sum(int(batch["img"].sum()) for batch in known)
        sys.stdout.write(f"{known.num_workers} {total // SIZE}\n")
        unknown = GuardedLoader(Large(), set(), collate_fn=collate, num_workers=2, **options)
        try:
            sys.stdout.write(f"{len(list(unknown))} batches\n")
        except DataError as error:
            sys.stdout.write(f"{error}\n")


if __name__ == "__main__":
    main()
