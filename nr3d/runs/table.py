"""The results of finished runs, laid out like the paper's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nr3d.errors import DataError
from nr3d.runs.results import (
    RESULT_FILE,
    SPLITS_FILE,
    figures_of,
    read_result,
    read_splits_result,
)

_NAMES = {"mars": "MARS", "prid2011": "PRID2011", "ilidsvid": "iLIDS-VID"}
"""Names of datasets as papers write them, in the order of the paper's columns."""


@dataclass(frozen=True)
class TableRow:
    """The result of one run, or of one run over splits, on one dataset.

    Args:
        folder: folder of the run.
        model: name of the network.
        trained_first_on: names of the datasets that the network was trained on before, or beside,
            the tested one; empty if it was trained on the tested one alone.
        dataset: name of the dataset that was tested.
        mean: figures as shares from 0 to 1, by name; their means over the splits, if any.
        std: sample standard deviations of the figures over the splits, by name; None for fewer than
            two splits.
        splits: number of splits; 0 for a dataset without any.
        split_0: figures of split 0, by name; None without that split.
        protocol: name of the evaluation protocol.
        distractors_dropped: whether gallery tracklets of people that no query shows were left out.
        tracklets: kind of the tracklets if they are no video, one of
            :data:`nr3d.data.datasets.parts.KINDS`.
    """

    folder: str
    model: str
    trained_first_on: tuple[str, ...]
    dataset: str
    mean: Mapping[str, float]
    std: Mapping[str, float] | None = None
    splits: int = 0
    split_0: Mapping[str, float] | None = None
    protocol: str = "torchreid"
    distractors_dropped: bool = False
    tracklets: str = ""


def read_rows(folders: Sequence[str | Path]) -> list[TableRow]:
    """Read the results of finished runs.

    Args:
        folders: folders of runs, or of runs over splits.

    Returns:
        list: a row for each dataset that a run tested, in the order of the folders.

    Raises:
        DataError: if a folder holds no finished run; the message names the folder.
    """
    return [row for folder in folders for row in _rows_of(Path(folder))]


def _rows_of(folder: Path) -> list[TableRow]:
    splits, result = read_splits_result(folder), read_result(folder)
    if splits is not None:
        std = {name: share for name, share in splits["std"].items() if share is not None}
        first = [row for row in splits["splits"] if row["split"] == 0]
        return [
            TableRow(
                folder=str(folder),
                model=splits["model"],
                trained_first_on=_first_on(splits, splits["dataset"]),
                dataset=splits["dataset"],
                mean=figures_of(splits["mean"]),
                std=std or None,
                splits=len(splits["splits"]),
                split_0=figures_of(first[0]) if first else None,
                protocol=splits.get("protocol", "torchreid"),
                distractors_dropped=splits.get("distractors_dropped", False),
            )
        ]
    if result is None:
        raise DataError(
            f"{folder} holds no finished run: it has neither {RESULT_FILE} nor {SPLITS_FILE}. Give "
            "the data.save_dir of a run that has ended."
        )
    return [
        TableRow(
            folder=str(folder),
            model=result["model"],
            trained_first_on=_first_on(result, dataset),
            dataset=dataset,
            mean=figures_of(found),
            protocol=found.get("protocol", "torchreid"),
            distractors_dropped=found.get("distractors_dropped", False),
            tracklets=str(found.get("tracklets", "")),
        )
        for dataset, found in result["results"].items()
    ]


def _first_on(result: Mapping[str, Any], dataset: str) -> tuple[str, ...]:
    """Return the datasets that a network was trained on, unless it is the tested one alone."""
    started_from = result["started_from"] or {"trained_on": []}
    before = [name for name in started_from["trained_on"] if name != "imagenet"]
    seen = before or (result["trained_on"] if result["trained_on"] != [dataset] else [])
    return tuple(seen)


def as_markdown(rows: Sequence[TableRow]) -> str:
    """Return rows as a Markdown table: a line for each training, a column for each dataset.

    A cell holds rank-1 with its deviation over the splits, and mAP in brackets, in percent; the
    protocol, unless it is torchreid's; whether distractors were dropped; and the number of splits,
    with split 0 beside it, if there are any.

    Args:
        rows: the rows, as :func:`read_rows` returns them.
    """
    order = [*_NAMES, *sorted({row.dataset for row in rows} - _NAMES.keys())]
    datasets = [name for name in order if any(row.dataset == name for row in rows)]
    sides = list(dict.fromkeys((row.model, row.trained_first_on) for row in rows))
    sides.sort(key=lambda side: (len(side[1]), side[1]))
    lines = [
        f"| model | trained on | {' | '.join(_NAMES.get(name, name) for name in datasets)} |",
        "|---|---|" + "---|" * len(datasets),
    ]
    for model, first in sides:
        cells = [
            "; ".join(
                _cell(row)
                for row in rows
                if (row.model, row.trained_first_on, row.dataset) == (model, first, dataset)
            )
            for dataset in datasets
        ]
        label = " and ".join(_NAMES.get(name, name) for name in first)
        label = f"{label} first" if first else "the dataset itself"
        lines.append(f"| {model} | {label} | {' | '.join(cell or '–' for cell in cells)} |")
    return "\n".join(lines)


def _cell(row: TableRow) -> str:
    spread = f" ± {100 * row.std['rank-1']:.2f}" if row.std else ""
    cell = f"{100 * row.mean['rank-1']:.2f}{spread} ({100 * row.mean['mAP']:.2f})"
    if row.protocol != "torchreid":
        cell = f"{cell}, {row.protocol}"
    if row.distractors_dropped:
        cell = f"{cell}, distractors dropped"
    if row.tracklets:
        cell = f"{cell}, {row.tracklets}"
    if not row.splits:
        return cell
    over = [f"{row.splits} split{'s' if row.splits > 1 else ''}"]
    if row.split_0 and row.splits > 1:
        over.append(f"split 0: {100 * row.split_0['rank-1']:.2f}")
    return f"{cell}, {', '.join(over)}"


def as_json(rows: Sequence[TableRow]) -> dict[str, Any]:
    """Return rows as plain values, as the JSON file holds them."""
    return {"rows": [asdict(row) for row in rows]}
