"""Tables of the networks and baselines tested on real people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

METRICS = ("euclidean", "cosine")
FIGURES = ("rank-1", "mAP")

PROTOCOLS = {
    "query": "Queries against the gallery, as torchreid tests",
    "every": "Every tracklet against all others",
}
"""Ways to choose queries and gallery, and what the tables call them."""

SETS = {"held-out": "held-out people", "others": "other people"}


def tables(figures: Mapping[str, Any], remarks: Sequence[str]) -> str:
    """Return the tables in Markdown, with what is to be known about the test sets.

    Args:
        figures: content of the benchmark's JSON file.
        remarks: sentences about the networks.
    """
    paragraphs = [_caption(figures, remarks)]
    for protocol, title in PROTOCOLS.items():
        whole = protocol == "query"
        head = ["network", "distance", *(f"{s}, {f}" for s in SETS.values() for f in FIGURES)]
        head += ["input", "parameters", "feature"] * whole
        lines = [f"{title}:", "", _row(head), "|---" * len(head) + "|"]
        for network in figures["networks"]:
            for metric in METRICS:
                cells = [network["network"], metric]
                for name in SETS:
                    found = network["figures"][name][protocol][metric]
                    cells += [_with_interval(found, figure) for figure in FIGURES]
                if whole:
                    height, width = network["input"]
                    cells += [f"{height} × {width}", f"{network['parameters']:,}"]
                    cells += [str(network["feature_dim"])]
                lines.append(_row(cells))
        paragraphs.append("\n".join(lines))
    return "\n\n".join(paragraphs)


def _caption(figures: Mapping[str, Any], remarks: Sequence[str]) -> str:
    sets = []
    for name, own in figures["people"].items():
        average = own["frames"] / (own["query"] + own["gallery"])
        sets.append(
            f"{SETS[name].capitalize()}: {own['people']}, with {own['query']:,} query and "
            f"{own['gallery']:,} gallery tracklets of {average:.1f} frames on average"
        )
    seed = figures["people"]["held-out"]["converted"].get("seed", 0)
    most = figures["most_frames"]
    frames = f"at most {most} frames" if most else "all frames"
    return " ".join(
        [
            "Real people of Market-1501 in pseudo-tracklets, each of which holds one camera's few "
            "images of one person: these figures do not compare with those on MARS or on any other "
            f"dataset of video. {'. '.join(sets)}. The people held out are those of seed {seed}; a "
            f"tracklet's feature is that of {frames}. In percent, with 95 % intervals by bootstrap "
            "over the queries, which say nothing about other people or trainings; those of the "
            "second table are too narrow, since it searches for each person several times.",
            *remarks,
        ]
    )


def _with_interval(found: Mapping[str, Any], figure: str) -> str:
    low, high = found["intervals"][figure]
    return f"{100 * found[figure]:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
