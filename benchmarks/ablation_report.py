"""Tables of the ablation's runs, and a plot if Matplotlib is installed."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

FULL = "full"
FIGURES = ("rank-1", "mAP")

Run = Mapping[str, Any]


def spread(values: Iterable[float]) -> tuple[float, float]:
    """Return the mean and the sample standard deviation, which is 0 for a single value."""
    found = list(values)
    return statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else 0.0


def by_variant(runs: Sequence[Run], names: Iterable[str]) -> dict[str, dict[int, Run]]:
    """Group the runs by variant and seed; variants without runs are left out."""
    found: dict[str, dict[int, Run]] = {}
    for name in names:
        own = {run["seed"]: run for run in runs if run["variant"] == name}
        if own:
            found[name] = own
    return found


def _percent(values: Iterable[float], sign: str = "") -> str:
    mean, deviation = spread(values)
    return f"{100 * mean:{sign}.1f} ± {100 * deviation:.1f}"


def tables(runs: Sequence[Run], names: Mapping[str, str]) -> str:
    """Return two tables in Markdown: the accuracy of the variants, and their attention."""
    sorted_runs = by_variant(runs, names)
    full = sorted_runs.get(FULL, {})
    lines = [
        "Mean ± sample standard deviation over the seeds, in percent, followed by the difference "
        "from the full recipe, which is taken seed by seed on the same dataset.",
        "",
        "| variant | rank-1 | mAP | rank-1 - full's | mAP - full's | seeds |",
        "|---|---|---|---|---|---|",
    ]
    for name, own in sorted_runs.items():
        cells = [_percent(run[figure] for run in own.values()) for figure in FIGURES]
        shared = [] if name == FULL else sorted(own.keys() & full.keys())
        for figure in FIGURES:
            gaps = [own[seed][figure] - full[seed][figure] for seed in shared]
            cells.append(_percent(gaps, "+") if gaps else "")
        lines.append(f"| {names[name]} | {' | '.join(cells)} | {len(own)} |")
    lines += [
        "",
        "Attention in the test clips that have both occluded and clean frames: the mean weight of "
        "the occluded frames divided by that of the clean ones, which is 1 for the mean; the "
        "largest weight in a clip, which is 1 if a single frame counts; and the percentage of the "
        "clips in which all weights are equal.",
        "",
        "| variant | occluded / clean | largest weight in a clip | clips with equal weights "
        "| clips a seed |",
        "|---|---|---|---|---|",
    ]
    for name, own in sorted_runs.items():
        attention = [run["attention"] for run in own.values()]
        cells = []
        for key in ("ratio", "largest"):
            mean, deviation = spread(a[key] for a in attention)
            cells.append(f"{mean:.3f} ± {deviation:.3f}")
        cells.append(_percent(a["flat"] for a in attention))
        cells.append(f"{statistics.fmean(a['clips'] for a in attention):.0f}")
        lines.append(f"| {names[name]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(runs: Sequence[Run], names: Mapping[str, str], path: Path) -> None:
    """Plot rank-1, mAP and the ratio of the weights of each variant, with error bars."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        sys.stderr.write(f"{path} is not drawn: Matplotlib is missing (pip install matplotlib).\n")
        return
    sorted_runs = by_variant(runs, names)
    rows = range(len(sorted_runs))
    figure = Figure(figsize=(11, 1.2 + 0.42 * len(sorted_runs)), layout="constrained")
    panels = [
        ("rank-1, %", lambda run: 100 * run["rank-1"]),
        ("mAP, %", lambda run: 100 * run["mAP"]),
        ("weight, occluded / clean", lambda run: run["attention"]["ratio"]),
    ]
    axes = figure.subplots(1, len(panels), sharey=True)
    for axis, (title, value) in zip(axes, panels, strict=True):
        for row, (name, own) in zip(rows, sorted_runs.items(), strict=True):
            values = [value(run) for run in own.values()]
            mean, deviation = spread(values)
            colour = "tab:blue" if name == FULL else "tab:gray"
            axis.errorbar(mean, row, xerr=deviation, fmt="o", color=colour, capsize=4)
            axis.plot(values, [row + 0.22] * len(values), "|", color=colour, alpha=0.6)
            if name == FULL:
                axis.axvline(mean, color=colour, linewidth=0.8, alpha=0.4)
        axis.set_title(title, fontsize=10)
        axis.grid(axis="x", alpha=0.3)
    axes[-1].axvline(1.0, color="black", linewidth=0.8, linestyle=":")
    axes[0].set_yticks(list(rows), [names[name] for name in sorted_runs])
    axes[0].invert_yaxis()
    figure.suptitle("Mean and deviation over the seeds; small marks are single seeds", fontsize=9)
    figure.savefig(path, dpi=150)
