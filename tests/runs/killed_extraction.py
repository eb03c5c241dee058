"""Extracts by the command line in child processes, some of which are killed at a given moment.

Usage: killed_extraction.py OUT WORDS...; WORDS are the command's, without --out. Writes
OUT/whole.h5 by a command that is left alone, and OUT/<moment>.h5 by one that is killed there and
run again; what the killed one left is copied to OUT/<moment>.left.h5. One process imports
everything, and forks.
"""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch

import nr3d.cli
from nr3d.features import FeatureWriter, Inference, Row
from nr3d.features.store import writing
from tests.engine.killed_run import child, counted, die

append = FeatureWriter.append


def append_and_write(self: FeatureWriter, row: Row) -> None:
    append(self, row)
    self.write()


def in_a_batch(call: int) -> None:
    Inference.of_frames = counted(Inference.of_frames, call, lambda *a: die())  # type: ignore[method-assign]


def in_a_write(call: int) -> None:
    """Die with the rows in a new file and that not in its place."""
    create = writing.hdf5.create
    writing.hdf5.create = counted(create, call, lambda *a: (create(*a), die()))


def at_the_end(call: int) -> None:
    """Die with all written."""
    FeatureWriter.finish = counted(FeatureWriter.finish, call, lambda *a: die())  # type: ignore[method-assign]


# A batch has 7 frames, a tracklet 5; rows are written as they come.
MOMENTS: dict[str, tuple[Callable[[int], None], int]] = {
    "first-batch": (in_a_batch, 1),
    "batch": (in_a_batch, 6),
    "write": (in_a_write, 4),
    # Both are called once or twice before the first row: for an empty store and for what was left.
    "end": (at_the_end, 3),
}


def extract(words: list[str], out: Path) -> int:
    torch.set_num_threads(1)
    return nr3d.cli.main(["extract", *words, "--out", str(out)])


def main() -> None:
    out, words = Path(sys.argv[1]), sys.argv[2:]
    FeatureWriter.append = append_and_write  # type: ignore[method-assign]
    assert child(lambda: extract(words, out / "whole.h5")) == 0
    for name, (kill, call) in MOMENTS.items():
        store = out / f"{name}.h5"

        def killed(
            kill: Callable[[int], None] = kill, call: int = call, store: Path = store
        ) -> int:
            kill(call)
            return extract(words, store)

        assert child(killed) == -signal.SIGKILL, name
        shutil.copy(store, out / f"{name}.left.h5")
        assert child(lambda store=store: extract(words, store)) == 0, name  # type: ignore[misc]


if __name__ == "__main__":
    main()
