"""Printing and writing of results, shared by the commands."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nr3d.data.datasets.parts import KINDS, NO_VIDEO
from nr3d.files import json_files
from nr3d.parallel import launched

if TYPE_CHECKING:
    from nr3d.engine import TestResult
    from nr3d.models import AttentionHealth
    from nr3d.runs.outcome import Outcome


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--json FILE``."""
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the results here")


def write_json(path: Path | None, content: Mapping[str, Any]) -> None:
    """Write a JSON file completely or not at all, in the first process; do nothing for None."""
    if path is not None and launched().first:
        json_files.write_json(path, content)


def progress_bar(what: str, unit: str) -> Callable[..., Any]:
    """Return a function that wraps an iterable, and optionally its length, in a progress bar.

    There is no bar if the standard error is no terminal.

    Args:
        what: description of the work, such as ``"Packing"``.
        unit: name of an item, such as ``"frame"``.
    """
    from tqdm import tqdm

    def progress(items: Iterable[Any], total: int | None = None) -> Any:
        return tqdm(items, total=total, desc=what, unit=unit, leave=False, disable=None)

    return progress


def results_table(rows: Sequence[tuple[str, TestResult]]) -> str:
    """Format results as a table, one line each."""
    ranks = sorted({r for _, result in rows for r in result.ranks})
    lines = [["", *(f"rank-{r}" for r in ranks), "mAP"]]
    for label, result in rows:
        figures = [result.ranks[r] for r in ranks] + [result.mAP]
        lines.append([label, *(f"{x:.1%}" for x in figures)])
    return columns(lines)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Format texts in columns, the first aligned left and the others right."""
    width = max(len(row[0]) for row in rows)
    return "\n".join(
        " ".join([f"{row[0]:<{width}}", *(f"{text:>8}" for text in row[1:])]) for row in rows
    )


def print_results(results: Sequence[Mapping[str, TestResult]]) -> None:
    """Print the results of each dataset by protocol, with the counts and times behind them."""
    from nr3d.metrics import RULES

    rows = []
    for by_protocol in results:
        for protocol, result in by_protocol.items():
            named = len(by_protocol) > 1 or protocol != "torchreid"
            rows.append((f"{result.dataset} ({protocol})" if named else result.dataset, result))
    print()
    print(results_table(rows))
    for label, result in rows:
        mean_inp = "" if result.mINP is None else f", mINP {result.mINP:.1%}"
        dropped = "dropped" if result.distractors_dropped else "among them"
        queries = ", the queries among them" if RULES[result.protocol].queries_in_gallery else ""
        print(
            f"{label}: {result.valid_queries} of {result.query} queries counted, gallery of "
            f"{result.gallery} tracklets{queries} ({result.distractors} distractors {dropped})"
            f"{mean_inp}"
        )
    for by_protocol in results:
        result = next(iter(by_protocol.values()))
        print(
            f"{result.dataset}: {result.frames} frames in {result.clips} clips, "
            f"features in {result.extract_seconds:.1f} s, ranking in {result.rank_seconds:.1f} s"
        )
        if result.tracklets:
            kind = result.tracklets
            print(f"{result.dataset}: {kind}, {KINDS[kind]}; {NO_VIDEO}")


def print_outcome(outcome: Outcome) -> None:
    """Print the results of a run and the frames that it left out."""
    print_results(list(outcome.by_protocol.values()))
    print_bad_frames(outcome.bad_frames)


def print_attention(healths: Sequence[AttentionHealth | None], stated: str | None = None) -> None:
    """Print a line if an attention is flat, and nothing otherwise.

    Args:
        healths: health of the attention on each dataset; None where there is nothing to judge by.
        stated: state of the attention by the facts of the weights, which counts if none of the
            datasets says anything.
    """
    from nr3d.models.aggregations.attention_health import FLAT, state_of

    if state_of(healths) == FLAT:
        share = min(health.flat for health in healths if health is not None)
        clips = f"in {share:.0%} of the clips"
    elif state_of(healths) is None and stated == FLAT:
        clips = "by the record of the weights"
    else:
        return
    print(f"attention: flat (all frames of a clip weigh the same {clips}, as with a mean)")


def print_bad_frames(paths: Sequence[str]) -> None:
    """Print the frames that were left out, if any."""
    if paths:
        print(f"{len(paths)} unreadable frames were left out:")
        for path in paths[:5]:
            print(f"  {path}")
        if len(paths) > 5:
            print(f"  and {len(paths) - 5} more")
