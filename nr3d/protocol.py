"""Runs that make up a row of a paper's table: a transfer's two stages, and all splits."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from nr3d import building, experiment, parallel
from nr3d.building import as_mapping
from nr3d.config import differences, load_config
from nr3d.data.splits import SPLIT_FILES, read_splits
from nr3d.engine import BEST, LAST
from nr3d.errors import ConfigError, DataError, shown
from nr3d.experiment import RESULT_FILE, Outcome
from nr3d.finished import SPLITS_FILE, figures_of, read_result, require_figures
from nr3d.home import expanded
from nr3d.json_files import write_json

logger = logging.getLogger(__name__)

_OWN = (
    "data.pack",
    "data.sources",
    "data.targets",
    "data.split_id",
    "data.save_dir",
    "model.load_weights",
    "model.resume",
    "transfer.config",
    "transfer.save_dir",
)
"""Keys that are not changed in what is trained first."""

_MAY_DIFFER = (
    "data.pack",
    "data.root",
    "data.save_dir",
    "data.workers",
    "model.load_weights",
    "model.resume",
    "test.batch_size",
    "test.memory_gib",
    "train.checkpoint_steps",
    "train.print_freq",
    "transfer.save_dir",
    "use_gpu",
)
"""Keys that do not make a finished run another one."""


_MOST_DIFFERING = 8
"""Keys that a message names."""


@dataclass(frozen=True)
class Plan:
    """What to train, and what to train before it and start from."""

    cfg: CfgNode
    first: CfgNode | None = None


def plan(name_or_path: str | Path, changes: Sequence[str] = ()) -> Plan:
    """Load a configuration, and the one that its ``transfer.config`` names.

    Args:
        name_or_path: as for :func:`nr3d.config.load_config`.
        changes: keys and values in turn. They change what is trained first too, but for its data,
            its split and its folders.

    Raises:
        ConfigError: as for :func:`nr3d.config.load_config`; or if the first is a transfer itself.
    """
    cfg = load_config(name_or_path, changes)
    if not cfg.transfer.config or cfg.model.load_weights:
        return Plan(cfg)
    pairs = zip(changes[::2], changes[1::2], strict=True)
    shared = [word for key, value in pairs if key not in _OWN for word in (key, value)]
    first = load_config(cfg.transfer.config, shared)
    if first.transfer.config:
        raise ConfigError(
            f"transfer.config is {cfg.transfer.config!r}, which is a transfer itself: train that "
            "one, and name its weights by model.load_weights."
        )
    if cfg.transfer.save_dir:
        first = changed(first, "data.save_dir", cfg.transfer.save_dir)
    return _on_split(Plan(cfg, first), cfg.data.split_id)


def changed(cfg: CfgNode, key: str, value: Any) -> CfgNode:
    """Give a configuration with one key changed."""
    other = cfg.clone()
    other.defrost()
    section, name = key.split(".")
    other[section][name] = value
    other.freeze()
    return other


def _on_split(plan: Plan, split: int) -> Plan:
    """Put a plan on a split, and its first part too where it trains on people of the same dataset.

    People who are tested must not have been trained on before.
    """
    cfg, first = changed(plan.cfg, "data.split_id", split), plan.first
    if first is not None and set(first.data.sources) & set(cfg.data.targets) & SPLIT_FILES.keys():
        first = changed(first, "data.split_id", split)
        first = changed(first, "data.save_dir", f"{first.data.save_dir}/split{split}")
    return Plan(cfg, first)


def train(plan: Plan) -> Outcome:
    """Train what a plan says: first, where it is not finished, what it starts from.

    Raises:
        Nr3dError: for anything that the user can mend; the message says how.
    """
    with parallel.joined(plan.cfg.use_gpu):
        # Before the hours that the first part may take.
        building.check(plan.cfg)
        experiment.keep_earlier_run(plan.cfg)
        return experiment.train(_started(plan))


def _started(plan: Plan) -> CfgNode:
    """Give the configuration that starts from the finished first part of a plan."""
    if plan.first is None:
        return plan.cfg
    if not plan.cfg.model.resume:
        _finish(plan.first)
    best = Path(plan.first.data.save_dir) / BEST
    return changed(plan.cfg, "model.load_weights", str(best))


def _finish(cfg: CfgNode) -> dict[str, Any]:
    """Train a run, go on with it, or take it as it is, by what its folder holds.

    Returns:
        dict: the run's ``result.json``.

    Raises:
        ConfigError: if a finished run is there and was made with other settings.
        Nr3dError: as for :func:`nr3d.experiment.train`.
    """
    folder = Path(cfg.data.save_dir)
    result = parallel.of_first(read_result(folder))
    if result is not None:
        if "config" not in result:
            raise DataError(
                f"{folder / RESULT_FILE} has no config, and does not say how its run was made: "
                "give another data.save_dir (transfer.save_dir for what is trained first)."
            )
        differing = [
            f"{key} {shown(before)}, now {shown(now)}"
            for key, before, now in differences(result["config"], as_mapping(cfg))
            if key not in _MAY_DIFFER
        ]
        if differing:
            more = len(differing) - _MOST_DIFFERING
            if more > 0:
                differing[_MOST_DIFFERING:] = [f"and {more} more"]
            raise ConfigError(
                f"{folder} holds a run that was made with other settings ({'; '.join(differing)}): "
                "set them as they were, or give another data.save_dir (transfer.save_dir for what "
                "is trained first)."
            )
        require_figures(result, cfg.data.targets, cfg.test.ranks, folder)
        logger.info("%s is finished", folder)
        return dict(result)
    if parallel.of_first((folder / LAST).exists()):
        logger.info("%s is gone on with", folder)
        cfg = changed(cfg, "model.resume", str(folder / LAST))
    experiment.train(cfg)
    result = parallel.of_first(read_result(folder))
    if result is None:
        raise DataError(f"{folder / RESULT_FILE} is gone, which the run has just written.")
    return dict(result)


def train_splits(plan: Plan, splits: Sequence[int] | None = None) -> dict[str, Any]:
    """Train and test splits of a dataset one after the other, each in a folder of its own.

    A split that is finished is taken as it is, one that was cut off is gone on with. The figures
    are those of the last epoch's weights.

    Args:
        plan: of a dataset with splits.
        splits: from 0; default is all.

    Returns:
        dict: ``dataset``, ``model``, ``trained_on`` and ``started_from`` as in a run's result,
        ``splits`` (one dict of figures each), their ``mean`` and sample standard deviation
        ``std``, and ``save_dir``; also written into ``splits.json`` in the plan's folder.

    Raises:
        ConfigError: if the dataset has no splits, or not one that was asked for.
        Nr3dError: for anything else that the user can mend; the message says how.
    """
    with parallel.joined(plan.cfg.use_gpu):
        building.check(plan.cfg)
        dataset, count = _splits_of(plan.cfg)
        chosen = list(range(count)) if splits is None else list(splits)
        if not chosen or not all(0 <= split < count for split in chosen):
            raise ConfigError(f"splits are {chosen}, expected some of 0 to {count - 1}")
        rows: list[dict[str, Any]] = []
        for number, split in enumerate(chosen, start=1):
            folder = str(Path(plan.cfg.data.save_dir) / f"split{split}")
            one = _on_split(plan, split)
            one = Plan(changed(one.cfg, "data.save_dir", folder), one.first)
            logger.info("Split %d, %d of %d (%s)", split, number, len(chosen), folder)
            result = _finish(_started(one))
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


def _splits_of(cfg: CfgNode) -> tuple[str, int]:
    """Give the dataset that a configuration tests, and how many splits it has."""
    if len(cfg.data.targets) != 1:
        raise ConfigError(
            f"data.targets is {cfg.data.targets}, expected one dataset to take splits of"
        )
    (dataset,) = cfg.data.targets
    file = expanded(cfg.data.root, DataError) / SPLIT_FILES.get(dataset, "")
    if dataset == "ilidsvid" and parallel.world().first and not file.is_file():
        # torchreid makes it of the published splits when it loads the dataset.
        building.build_datamanager(cfg, training=False)
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
