"""Tables of the ablation's runs, and a plot if Matplotlib is installed."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

FULL = "live"
"""Variant that the others are compared with."""

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


def _share(values: Iterable[float]) -> str:
    mean, deviation = spread(values)
    return f"{mean:.2f} ± {deviation:.2f}"


def tables(runs: Sequence[Run], names: Mapping[str, str]) -> str:
    """Return the tables in Markdown: the accuracy of the variants, and their attention."""
    grouped = by_variant(runs, names)
    full = grouped.get(FULL, {})
    lines = [
        "Mean ± sample standard deviation over the seeds, in percent: on the queries as they are, "
        "and with half of their frames erased as in training; then the difference from the full "
        "recipe with live attention, which is taken seed by seed.",
        "",
        "| variant | rank-1 | mAP | rank-1, erased | mAP, erased | rank-1 - live's | mAP - live's "
        "| seeds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, own in grouped.items():
        cells = [_percent(run[figure] for run in own.values()) for figure in FIGURES]
        cells += [_percent(run["erased"][figure] for run in own.values()) for figure in FIGURES]
        shared = [] if name == FULL else sorted(own.keys() & full.keys())
        for figure in FIGURES:
            gaps = [own[seed][figure] - full[seed][figure] for seed in shared]
            cells.append(_percent(gaps, "+") if gaps else "")
        lines.append(f"| {names[name]} | {' | '.join(cells)} | {len(own)} |")
    lines += ["", *_attention(grouped, names, "attention_erased", "erased")]
    if all("oracle" in run for run in runs):
        lines += ["", *_attention(grouped, names, "attention", "occluded")]
        lines += ["", *_oracle(grouped, names)]
    return "\n".join(lines)


def _attention(
    grouped: Mapping[str, Mapping[int, Run]], names: Mapping[str, str], key: str, bad: str
) -> list[str]:
    """Return the table of the attention in the clips that hold bad and clean frames."""
    lines = [
        f"Attention in the test clips that have both {bad} and clean frames: the mean weight of "
        f"the {bad} frames divided by that of the clean ones, which is 1 for the mean; how often a "
        "clean frame has the larger weight (AUC), which is 0.5 for the mean; the largest weight in "
        "a clip, which is 1 if a single frame counts; and the percentage of the clips in which all "
        "weights are equal.",
        "",
        f"| variant | {bad} / clean | AUC | largest weight | equal weights | clips a seed |",
        "|---|---|---|---|---|---|",
    ]
    for name, own in grouped.items():
        found = [run[key] for run in own.values()]
        cells = [_share(one[kind] for one in found) for kind in ("ratio", "auc", "largest")]
        cells.append(_percent(one["flat"] for one in found))
        cells.append(f"{statistics.fmean(one['clips'] for one in found):.0f}")
        lines.append(f"| {names[name]} | {' | '.join(cells)} |")
    return lines


def _oracle(grouped: Mapping[str, Mapping[int, Run]], names: Mapping[str, str]) -> list[str]:
    """Return the table of the oracle, and of the share of its gain over the mean that is had."""
    lines = [
        "The same networks once an oracle leaves out the occluded frames of queries and gallery:",
        "",
        "| variant | rank-1, oracle | mAP, oracle | rank-1, oracle's gain |",
        "|---|---|---|---|",
    ]
    for name, own in grouped.items():
        cells = [_percent(run["oracle"][figure] for run in own.values()) for figure in FIGURES]
        gains = (run["oracle"]["rank-1"] - run["rank-1"] for run in own.values())
        lines.append(f"| {names[name]} | {' | '.join(cells)} | {_percent(gains, '+')} |")
    return lines


def draw(runs: Sequence[Run], names: Mapping[str, str], path: Path) -> None:
    """Plot rank-1, mAP and the ratio of the weights of each variant, with error bars."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        sys.stderr.write(f"{path} is not drawn: Matplotlib is missing (pip install matplotlib).\n")
        return
    grouped = by_variant(runs, names)
    rows = range(len(grouped))
    figure = Figure(figsize=(12, 1.4 + 0.42 * len(grouped)), layout="constrained")
    known = "attention" in runs[0]
    kind, bad = ("attention", "occluded") if known else ("attention_erased", "erased")
    panels: list[tuple[str, Callable[[Run], float]]] = [
        ("rank-1, %", lambda run: 100 * run["rank-1"]),
        ("mAP, %", lambda run: 100 * run["mAP"]),
        ("mAP of erased queries, %", lambda run: 100 * run["erased"]["mAP"]),
        (f"weight, {bad} / clean", lambda run: run[kind]["ratio"]),
    ]
    axes = figure.subplots(1, len(panels), sharey=True)
    for axis, (title, value) in zip(axes, panels, strict=True):
        for row, (name, own) in zip(rows, grouped.items(), strict=True):
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
    axes[0].set_yticks(list(rows), [names[name] for name in grouped])
    axes[0].invert_yaxis()
    figure.suptitle("Mean and deviation over the seeds; small marks are single seeds", fontsize=9)
    figure.savefig(path, dpi=150)
