"""Transfers: a network trained on one dataset first, and then on the one that is tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from yacs.config import CfgNode

from nr3d import parallel
from nr3d.config import KEYS, Command, load_config, present_name
from nr3d.data.datasets.splits import SPLIT_FILES
from nr3d.engine import BEST
from nr3d.errors import ConfigError
from nr3d.models import find_architecture
from nr3d.processes import stopping
from nr3d.processes.stopping import Interrupted
from nr3d.runs.configuration import changed
from nr3d.runs.folder import sole_run
from nr3d.runs.outcome import Outcome
from nr3d.runs.run import opened
from nr3d.runs.standing import standing
from nr3d.runs.training import prepare, train, train_run


@dataclass(frozen=True)
class Plan:
    """A training, and the one that comes before it.

    Args:
        cfg: the configuration to train.
        first: the configuration to train before it; None if there is none.
    """

    cfg: CfgNode
    first: CfgNode | None = None

    @property
    def started(self) -> CfgNode:
        """The configuration to train, which starts from the best weights of the first, if any."""
        if self.first is None:
            return self.cfg
        return changed(self.cfg, "model.load_weights", str(Path(self.first.data.save_dir) / BEST))


def load_plan(name_or_path: str | Path, changes: Sequence[str] = ()) -> Plan:
    """Load a configuration, and the one that its ``transfer.config`` names.

    Args:
        name_or_path: a shipped name or a YAML file, as for :func:`nr3d.config.load_config`.
        changes: keys and values in turn. They also change the configuration that is trained first,
            except for its data, its split and its folders.

    Raises:
        ConfigError: if a configuration cannot be loaded, as for :func:`nr3d.config.load_config`; or
            if the first is a transfer itself, or trains another network.
    """
    cfg = load_config(name_or_path, changes)
    if not cfg.transfer.config or cfg.model.load_weights:
        return Plan(cfg)
    pairs = zip(map(present_name, changes[::2]), changes[1::2], strict=True)
    shared = [
        word for key, value in pairs if key in KEYS and not KEYS[key].own for word in (key, value)
    ]
    first = load_config(cfg.transfer.config, shared)
    if first.transfer.config:
        raise ConfigError(
            f"transfer.config is {cfg.transfer.config!r}, which is a transfer itself: train that "
            "one, and name its weights by model.load_weights."
        )
    mine, theirs = (find_architecture(one.model.name) for one in (cfg, first))
    if mine is not None and theirs is not None and not mine.has_trunk_of(theirs):
        raise ConfigError(
            f"model.name is {cfg.model.name!r}, and {first.model.name!r} in transfer.config "
            f"{cfg.transfer.config!r}, whose weights do not fit it: train the same network first."
        )
    if cfg.transfer.save_dir:
        first = changed(first, "data.save_dir", cfg.transfer.save_dir)
    return on_split(Plan(cfg, first), cfg.data.split_id)


def on_split(plan: Plan, split: int) -> Plan:
    """Return a plan on another random half split of its dataset.

    The first training uses the same split if it trains on people of the same dataset: the people
    who are tested must not have been trained on before.

    Args:
        plan: the plan.
        split: number of the split, from 0.
    """
    cfg, first = changed(plan.cfg, "data.split_id", split), plan.first
    if first is not None and set(first.data.sources) & set(cfg.data.targets) & SPLIT_FILES.keys():
        first = changed(first, "data.split_id", split)
        first = changed(first, "data.save_dir", f"{first.data.save_dir}/split{split}")
    return Plan(cfg, first)


def train_plan(plan: Plan, *, anew: bool = False) -> Outcome:
    """Train by a plan, beginning with the first training if that is not finished.

    Args:
        plan: the plan, as :func:`load_plan` returns it.
        anew: whether to train over a run that ended before its first checkpoint.

    Returns:
        Outcome: the results of the last test of ``plan.cfg``, and what belongs to them.

    Raises:
        Nr3dError: for every failure that the user can fix; the message says how.
    """
    with opened(plan.started, Command.TRAIN) as run, sole_run(plan.cfg.data.save_dir):
        first = unfinished_first(plan)
        if first is not None:
            # The second is checked before the hours that the first may take.
            prepare(run.without_weights(), anew=anew)
            train(first, anew=True)
            stop_between_runs(f"after {first.data.save_dir}, which is trained first")
        return train_run(run, anew=anew)


def unfinished_first(plan: Plan) -> CfgNode | None:
    """Return the configuration that is still to be trained before ``plan.cfg``; None for none.

    Raises:
        ConfigError: if it is finished, and was made with other settings.
    """
    if plan.first is None or plan.cfg.model.resume:
        return None
    result, first = standing(plan.first)
    return first if result is None else None


def stop_between_runs(where: str) -> None:
    """End between two trainings if a process was asked to stop.

    Args:
        where: the point between them, as the message names it.

    Raises:
        Interrupted: if a process was asked to stop.
    """
    asked = parallel.greatest(stopping.requested())
    if asked:
        stopping.withdraw()
        raise Interrupted(asked, where)
