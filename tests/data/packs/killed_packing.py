"""Packs a dataset in child processes, each killed at a given moment and then run again.

Usage, from the repository's root: python -m tests.data.packs.killed_packing ROOT OUT. Writes into
OUT one pack that was left alone and one for each moment, and beside each, as JSON, how many files
the process that ended it read.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nr3d.data import pack
from nr3d.data.packs import writing
from tests.engine.killed_run import child, counted, die


def in_a_write(call: int) -> None:
    """Die with half of the bytes written."""
    write = os.pwrite

    def half(file: int, data: bytes, at: int) -> int:
        write(file, data[: len(data) // 2], at)
        die()
        raise AssertionError

    os.pwrite = counted(write, call, half)


def in_a_flush(call: int) -> None:
    """Die with all written and nothing done about it."""
    os.fsync = counted(os.fsync, call, lambda file: die())


# A frame takes two writes, its bytes and its CRC-32. What is flushed is the tables, the bytes, and
# the word that the pack is complete.
MOMENTS: dict[str, tuple[Callable[[int], None], int]] = {
    "tables": (in_a_flush, 1),
    "first-frame": (in_a_write, 1),
    "frame": (in_a_write, 41),
    "crc32": (in_a_write, 42),
    "bytes": (in_a_flush, 2),
    "complete": (in_a_flush, 3),
}


def main() -> None:
    root, out = sys.argv[1], Path(sys.argv[2])

    def packed(name: str, workers: int = 1) -> int:
        reads = 0
        read = writing._read

        def counting(*args: Any) -> bytes:
            nonlocal reads
            reads += 1
            return read(*args)

        writing._read = counting
        pack(root, "mars", out / f"{name}.h5", workers=workers)
        (out / f"{name}.json").write_text(json.dumps(reads))
        return 0

    assert child(lambda: packed("whole", workers=2)) == 0
    for name, (kill, call) in MOMENTS.items():

        def killed(kill: Callable[[int], None] = kill, call: int = call, name: str = name) -> int:
            kill(call)
            return packed(name)

        assert child(killed) == -signal.SIGKILL, name
        assert not (out / f"{name}.h5").exists(), name
        assert child(lambda name=name: packed(name)) == 0, name  # type: ignore[misc]


if __name__ == "__main__":
    main()
