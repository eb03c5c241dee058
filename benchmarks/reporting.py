"""Common parts of the benchmarks: timing in turn, and the files of results."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from nr3d.version import versions


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--machine", required=True, help="description of this machine")
    parser.add_argument("--out", type=Path, help="write OUT.md and OUT.json")
    return parser


def in_turn(rounds: int, *sides: Callable[[], object]) -> list[list[float]]:
    """Time functions in turn and return, for each, its seconds in every round."""
    for side in sides:
        side()  # warm-up
    seconds: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for place, side in enumerate(sides):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            started = time.perf_counter()
            side()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[place].append(time.perf_counter() - started)
    return seconds


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> dict[str, float]:
    """Return the median, least and greatest speed-up over pairs of times."""
    pairs = [one / other for one, other in zip(theirs, ours, strict=True)]
    return {"median": statistics.median(pairs), "least": min(pairs), "greatest": max(pairs)}


def matrix_rate(device: torch.device, dtype: torch.dtype, size: int) -> float:
    """Return the rate of a product of square matrices, in floating-point operations per second."""
    a, b = (torch.rand(size, size, device=device).to(dtype) for _ in range(2))
    times = in_turn(3, lambda: torch.mm(a, b))[0]
    return 2 * size**3 / min(times)


def write(out: Path | None, machine: str, table: str, figures: Mapping[str, Any]) -> None:
    """Print a table with the description of the machine, and write it and the figures to files."""
    named = ", ".join(f"{name} {version}" for name, version in versions().items())
    text = f"{table}\n\nMachine: {machine}; {named}.\n"
    sys.stdout.write(text)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.with_suffix(".md").write_text(text, encoding="utf-8")
        content = {"machine": machine, "versions": versions(), **figures}
        out.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
