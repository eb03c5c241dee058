"""What the commands share in printing and writing results."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nr3d.atomic import replacing
from nr3d.engine import TestResult
from nr3d.experiment import Outcome
from nr3d.parallel import launched


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--json FILE``."""
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results to this file")


def write_json(path: Path | None, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all; nothing for None, or but for the first process."""
    if path is None or not launched().first:
        return
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def results_table(rows: Sequence[tuple[str, TestResult]]) -> str:
    """Lay results out one line each, with the figures side by side."""
    ranks = sorted({r for _, result in rows for r in result.ranks})
    lines = [["", *(f"rank-{r}" for r in ranks), "mAP"]]
    for label, result in rows:
        figures = [result.ranks[r] for r in ranks] + [result.mAP]
        lines.append([label, *(f"{x:.1%}" for x in figures)])
    return columns(lines)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Lay texts out in columns, the first to the left and the others to the right."""
    width = max(len(row[0]) for row in rows)
    return "\n".join(
        " ".join([f"{row[0]:<{width}}", *(f"{text:>8}" for text in row[1:])]) for row in rows
    )


def print_outcome(outcome: Outcome) -> None:
    """Print a run's results and what the user should know of it."""
    print()
    print(results_table(list(outcome.results.items())))
    for name, result in outcome.results.items():
        print(
            f"{name}: {result.valid_queries} of {result.query} queries counted, gallery of "
            f"{result.gallery} tracklets, {result.frames} frames in {result.clips} clips, "
            f"features in {result.extract_seconds:.1f} s, ranking in {result.rank_seconds:.1f} s"
        )
    if outcome.bad_frames:
        print(f"{len(outcome.bad_frames)} unreadable frames were left out:")
        for path in outcome.bad_frames[:5]:
            print(f"  {path}")
        if len(outcome.bad_frames) > 5:
            print(f"  and {len(outcome.bad_frames) - 5} more")
