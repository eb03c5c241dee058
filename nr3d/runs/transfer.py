"""Runs that make up a row of a paper's table: a transfer's two stages, and all splits."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from nr3d import parallel
from nr3d.config import (
    KEYS,
    Command,
    Scope,
    differing,
    keys_that_change,
    leaves,
    load_config,
)
from nr3d.data.splits import SPLIT_FILES, read_splits
from nr3d.engine import BEST, LAST
from nr3d.errors import ConfigError, DataError, shown
from nr3d.files.home import expanded
from nr3d.files.json_files import write_json
from nr3d.models import ARCHITECTURES
from nr3d.processes import stopping
from nr3d.processes.stopping import Interrupted
from nr3d.runs import building, experiment
from nr3d.runs.building import as_mapping
from nr3d.runs.experiment import Outcome
from nr3d.runs.finished import figures_of, read_result, require_figures
from nr3d.runs.folder import RESULT_FILE, SPLITS_FILE, files_of_run, sole_run

logger = logging.getLogger(__name__)


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
    shared = [
        word for key, value in pairs if key in KEYS and not KEYS[key].own for word in (key, value)
    ]
    first = load_config(cfg.transfer.config, shared)
    if first.transfer.config:
        raise ConfigError(
            f"transfer.config is {cfg.transfer.config!r}, which is a transfer itself: train that "
            "one, and name its weights by model.load_weights."
        )
    trunks = [ARCHITECTURES.get(one.model.name) for one in (cfg, first)]
    if len({(trunk.depth, trunk.ibn) for trunk in trunks if trunk is not None}) > 1:
        raise ConfigError(
            f"model.name is {cfg.model.name!r}, and {first.model.name!r} in transfer.config "
            f"{cfg.transfer.config!r}, whose weights do not fit it: train the same network first."
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
    # Before the hours that the first part may take.
    building.check(plan.cfg)
    with parallel.joined(plan.cfg.use_gpu):
        experiment.check_save_dir(plan.cfg)
        with sole_run(plan.cfg.data.save_dir):
            return experiment.train(_started(plan))


def _stop_if_asked(where: str) -> None:
    """End between two runs if a process was asked to stop."""
    asked = parallel.greatest(stopping.requested())
    if asked:
        stopping.withdraw()
        raise Interrupted(asked, where)


def outstanding(plan: Plan) -> Plan:
    """Give what is left to do of a plan; its first part is None where that is done.

    Raises:
        ConfigError: if the first part is finished, and was made with other settings.
    """
    if plan.first is None:
        return plan
    best = Path(plan.first.data.save_dir) / BEST
    cfg = changed(plan.cfg, "model.load_weights", str(best))
    if plan.cfg.model.resume:
        return Plan(cfg)
    result, first = standing(plan.first)
    return Plan(cfg, first if result is None else None)


def before_its_first(cfg: CfgNode) -> CfgNode:
    """Give the second part of a plan as it can be checked before the first is trained."""
    # The weights that it will start from are not there yet; no others are fetched for it.
    return changed(changed(cfg, "model.load_weights", ""), "model.pretrained", False)


def _started(plan: Plan) -> CfgNode:
    """Give the configuration that starts from the finished first part of a plan."""
    left = outstanding(plan)
    if left.first is not None:
        # Before the hours that the first part may take.
        experiment.prepare(before_its_first(left.cfg))
        experiment.train(left.first, anew=True)
        _stop_if_asked(f"after {left.first.data.save_dir}, which is trained first")
    return left.cfg


def standing(cfg: CfgNode) -> tuple[dict[str, Any] | None, CfgNode]:
    """Say how far a run is, by what its folder holds.

    Returns:
        tuple: its ``result.json`` if it is finished, else None; and its configuration, which goes
        on with what is there.

    Raises:
        ConfigError: if a finished run is there and was made with other settings.
    """
    folder = Path(cfg.data.save_dir)
    result = parallel.of_first(read_result(folder))
    if result is not None:
        if "config" not in result:
            raise DataError(
                f"{folder / RESULT_FILE} has no config, and does not say how its run was made: "
                "give another data.save_dir (transfer.save_dir for what is trained first)."
            )
        told = _other_settings(result["config"], cfg)
        if told:
            more = len(told) - _MOST_DIFFERING
            if more > 0:
                told[_MOST_DIFFERING:] = [f"and {more} more"]
            raise ConfigError(
                f"{folder} holds a run that was made with other settings ({'; '.join(told)}): "
                "set them as they were, or give another data.save_dir (transfer.save_dir for what "
                "is trained first)."
            )
        require_figures(result, cfg.data.targets, cfg.test.ranks, folder)
        logger.info("%s is finished", folder)
        return dict(result), cfg
    if parallel.of_first((folder / LAST).exists()):
        logger.info("%s is gone on with", folder)
        cfg = changed(cfg, "model.resume", str(folder / LAST))
    return None, cfg


def _other_settings(before: Any, cfg: CfgNode) -> list[str]:
    """Say what makes a finished run another one than a configuration's."""
    keys = keys_that_change(~Scope.MACHINE, Command.TRAIN)
    weights = dict(leaves(before)).get("model.load_weights")
    same_file = (
        bool(weights) and Path(str(weights)).absolute() == Path(cfg.model.load_weights).absolute()
    )
    if same_file or cfg.transfer.config:
        # What is trained first has settings of its own, which are compared where it lies.
        keys.remove(KEYS["model.load_weights"])
    return differing(before, as_mapping(cfg), keys)


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
    folder = Path(plan.cfg.data.save_dir)
    with parallel.joined(plan.cfg.use_gpu):
        experiment.check_save_dir(plan.cfg)
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
        _stop_if_asked(f"before split {split}")
        folder = Path(one.cfg.data.save_dir)
        logger.info("Split %d, %d of %d (%s)", split, number, len(plans), folder)
        with sole_run(folder):
            found, cfg = standing(one.cfg)
            if found is None:
                experiment.train(_started(Plan(cfg, one.first)), anew=True)
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


def split_plans(plan: Plan, splits: Sequence[int] | None = None) -> tuple[str, dict[int, Plan]]:
    """Give a plan for each of some splits, in a folder of its own.

    Args:
        plan: of a dataset with splits.
        splits: from 0; default is all.

    Returns:
        tuple: the dataset, and the plans by split.

    Raises:
        ConfigError: if the dataset has no splits, or not one that was asked for.
    """
    building.check(plan.cfg)
    dataset, count = _splits_of(plan.cfg)
    chosen = list(range(count)) if splits is None else list(splits)
    if not chosen or not all(0 <= split < count for split in chosen):
        raise ConfigError(f"splits are {shown(chosen)}, expected some of 0 to {count - 1}")
    if len(set(chosen)) < len(chosen):
        raise ConfigError(f"splits are {shown(chosen)}, expected each of them once")
    plans = {}
    for split in chosen:
        one = _on_split(plan, split)
        folder = str(Path(plan.cfg.data.save_dir) / f"split{split}")
        plans[split] = Plan(changed(one.cfg, "data.save_dir", folder), one.first)
    return dataset, plans


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
