"""A plot of the accuracy of the methods against their cost."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from nr3d.errors import Nr3dError
from nr3d.zoo.table import Row
from nr3d.zoo.trainings import Trained


def figure_class() -> Any:
    """Return Matplotlib's class of figures.

    Raises:
        Nr3dError: if Matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise Nr3dError(
            "The plot needs Matplotlib: pip install matplotlib, or leave out --plot."
        ) from None
    return Figure


def draw(rows: Sequence[Row], trained: Sequence[Trained]) -> str:
    """Return a picture of mAP against multiply-adds of a clip, as SVG.

    Args:
        rows: the methods, whose costs are those of the networks that were trained.
        trained: their figures; those on the first dataset are drawn, with their range.

    Raises:
        Nr3dError: if Matplotlib is missing.
    """
    figure = figure_class()(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    found: dict[str, Trained] = {}
    for each in trained:
        found.setdefault(each.method, each)  # on the first dataset
    for row in rows:
        if row.method.key not in found:
            continue
        values = [100 * value for value in found[row.method.key].mAP]
        x, y = row.costs.multiply_adds / 1e9, sum(values) / len(values)
        low, high = y - min(values), max(values) - y
        axes.errorbar([x], [y], yerr=[[low], [high]], fmt="o", capsize=3)
        axes.annotate(
            row.method.title, (x, y), xytext=(6, 4), textcoords="offset points", fontsize=9
        )
    axes.set_xscale("log")
    axes.set_xlabel("multiply-adds of a clip, G")
    axes.set_ylabel("mAP, %  (mean and range over the seeds)")
    axes.grid(alpha=0.3)
    page = io.StringIO()
    figure.savefig(page, format="svg", metadata={"Date": None})
    return page.getvalue()
