"""Trainings over the random half splits of a dataset, and their mean."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from nr3d import parallel
from nr3d.config import Command
from nr3d.data.datasets.splits import SPLIT_FILES, read_splits
from nr3d.errors import ConfigError, DataError, shown
from nr3d.files.home import expanded
from nr3d.files.json_files import write_json
from nr3d.runs.building import build_datamanager
from nr3d.runs.configuration import changed
from nr3d.runs.folder import files_of_run, sole_run
from nr3d.runs.results import RESULT_FILE, SPLITS_FILE, figures_of, read_result
from nr3d.runs.run import opened
from nr3d.runs.standing import standing
from nr3d.runs.transfer import Plan, on_split, stop_between_runs, train_plan

logger = logging.getLogger(__name__)


def train_splits(plan: Plan, splits: Sequence[int] | None = None) -> dict[str, Any]:
    """Train and test splits of a dataset one after the other, each in a folder of its own.

    A split that is finished is not trained again, and one that was cut off is resumed. The figures
    are those of the last epoch's weights.

    Args:
        plan: the plan of a dataset that has splits.
        splits: numbers of the splits, from 0. Default is all.

    Returns:
        dict: ``dataset``, ``model``, ``trained_on`` and ``started_from`` as in the result of a run,
        ``splits`` (one dict of figures each), their ``mean`` and sample standard deviation
        ``std``, and ``save_dir``; also written into ``splits.json`` in the plan's folder.

    Raises:
        ConfigError: if the dataset has no splits, or lacks one of the given numbers.
        Nr3dError: for every other failure that the user can fix; the message says how.
    """
    folder = Path(plan.cfg.data.save_dir)
    with opened(plan.cfg, Command.TRAIN):
        dataset, plans = split_plans(plan, splits)
        with sole_run(folder):
            others = parallel.of_first([n for n in files_of_run(folder) if n != SPLITS_FILE])
            if others:
                raise ConfigError(
                    f"{folder} holds a run that is not over splits ({', '.join(others[:3])}): give "
                    "another data.save_dir."
                )
            return _train_splits(plan, dataset, plans)


def _train_splits(plan: Plan, dataset: str, plans: Mapping[int, Plan]) -> dict[str, Any]:
    """Train splits, in the folder that this process holds."""
    rows: list[dict[str, Any]] = []
    for number, (split, one) in enumerate(plans.items(), start=1):
        stop_between_runs(f"before split {split}")
        folder = Path(one.cfg.data.save_dir)
        logger.info("Split %d, %d of %d (%s)", split, number, len(plans), folder)
        with sole_run(folder):
            found, cfg = standing(one.cfg)
            if found is None:
                train_plan(Plan(cfg, one.first), anew=True)
                found = parallel.of_first(read_result(folder))
        if found is None:
            raise DataError(f"{folder / RESULT_FILE} is gone, which the run has just written.")
        result = found
        rows.append({"split": split, **figures_of(result["results"][dataset])})
    summary = {
        "dataset": dataset,
        **{key: result[key] for key in ("model", "trained_on", "started_from")},
        "protocol": plan.cfg.test.protocol,
        "distractors_dropped": plan.cfg.test.distractors == "drop",
        "splits": rows,
        **_mean_and_deviation(rows),
        "save_dir": plan.cfg.data.save_dir,
    }
    if parallel.world().first:
        write_json(Path(plan.cfg.data.save_dir) / SPLITS_FILE, summary)
    return summary


def unfinished_split(plan: Plan, splits: Sequence[int] | None = None) -> Plan | None:
    """Return the plan of the first split that is not finished; None if all are.

    Arguments and errors are those of :func:`split_plans`.
    """
    _, plans = split_plans(plan, splits)
    for one in plans.values():
        result, cfg = standing(one.cfg)
        if result is None:
            return Plan(cfg, one.first)
    return None


def split_plans(plan: Plan, splits: Sequence[int] | None = None) -> tuple[str, dict[int, Plan]]:
    """Return a plan for each of some splits, in a folder of its own.

    Args:
        plan: the plan of a dataset that has splits.
        splits: numbers of the splits, from 0. Default is all.

    Returns:
        tuple: the name of the dataset, and the plans by the number of the split.

    Raises:
        ConfigError: if the dataset has no splits, or lacks one of the given numbers.
    """
    dataset, count = _splits_of(plan.cfg)
    chosen = list(range(count)) if splits is None else list(splits)
    if not chosen or not all(0 <= split < count for split in chosen):
        raise ConfigError(f"splits are {shown(chosen)}, expected some of 0 to {count - 1}")
    if len(set(chosen)) < len(chosen):
        raise ConfigError(f"splits are {shown(chosen)}, expected each of them once")
    plans = {}
    for split in chosen:
        one = on_split(plan, split)
        folder = str(Path(plan.cfg.data.save_dir) / f"split{split}")
        plans[split] = Plan(changed(one.cfg, "data.save_dir", folder), one.first)
    return dataset, plans


def _splits_of(cfg: CfgNode) -> tuple[str, int]:
    """Return the dataset that a configuration tests, and the number of its splits."""
    if len(cfg.data.targets) != 1:
        raise ConfigError(
            f"data.targets is {cfg.data.targets}, expected one dataset to take splits of"
        )
    (dataset,) = cfg.data.targets
    file = expanded(cfg.data.root, DataError) / SPLIT_FILES.get(dataset, "")
    if dataset == "ilidsvid" and parallel.world().first and not file.is_file():
        # Loading the dataset makes the file from the published splits.
        build_datamanager(cfg, training=False)
    parallel.of_first(None)
    return dataset, len(read_splits(dataset, cfg.data.root))


def _mean_and_deviation(rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    names = [name for name in rows[0] if name != "split"]
    columns = {name: [float(row[name]) for row in rows] for name in names}
    return {
        "mean": {name: statistics.fmean(values) for name, values in columns.items()},
        "std": {
            name: statistics.stdev(values) if len(values) > 1 else None
            for name, values in columns.items()
        },
    }
