"""Training by a configuration, and the result that it leaves in its folder."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from nr3d import parallel
from nr3d.config import Command, as_mapping
from nr3d.engine import LAST
from nr3d.errors import OutputError, WeightsError
from nr3d.files.json_files import write_json
from nr3d.processes import stopping
from nr3d.runs.folder import is_cut_off, keep_earlier_run, sole_run
from nr3d.runs.outcome import Outcome, outcome_of
from nr3d.runs.results import RESULT_FILE
from nr3d.runs.run import Run, opened
from nr3d.weights import available, entry_of


def train(cfg: CfgNode, *, anew: bool = False) -> Outcome:
    """Train and test the model of a configuration, in all processes that torchrun started.

    Args:
        cfg: a complete configuration, such as :func:`nr3d.config.load_config` returns.
        anew: whether to train over a run that ended before its first checkpoint.

    Returns:
        Outcome: the results of the last test, and what belongs to them.

    Raises:
        Nr3dError: for every failure that the user can fix; the message says how.
    """
    with opened(cfg, Command.TRAIN) as run, sole_run(cfg.data.save_dir):
        return train_run(run, anew=anew)


def prepare(run: Run, *, anew: bool = False) -> int:
    """Build a training run, and refuse now what would stop it later; nothing is written.

    Training and its rehearsal both begin with this.

    Args:
        run: the run, opened for training.
        anew: whether a run that ended before its first checkpoint may be trained over.

    Returns:
        int: the number of epochs that are already done.

    Raises:
        Nr3dError: for everything that would stop the run and that the user can fix.
    """
    cfg = run.cfg
    if not (anew and parallel.of_first(is_cut_off(cfg.data.save_dir))):
        keep_earlier_run(cfg)
    engine = run.engine
    return engine.resume(cfg.model.resume) if cfg.model.resume else 0


def train_run(run: Run, *, anew: bool = False) -> Outcome:
    """Train a run that is opened, in the folder that this process holds.

    Arguments, result and errors are those of :func:`train`.
    """
    started = time.perf_counter()
    cfg = run.cfg
    with _last_checkpoint_named(cfg):
        start_epoch = prepare(run, anew=anew)
        started_from = _started_from(cfg)
        with stopping.at_safe_points():  # also while the result is written
            run.engine.run(
                save_dir=cfg.data.save_dir,
                max_epoch=cfg.train.max_epoch,
                start_epoch=start_epoch,
                print_freq=cfg.train.print_freq,
                fixbase_epoch=cfg.train.fixbase_epoch,
                open_layers=cfg.train.open_layers,
                start_eval=cfg.test.start_eval,
                eval_freq=cfg.test.eval_freq,
                dist_metric=cfg.test.dist_metric,
                normalize_feature=cfg.test.normalize_feature,
                ranks=cfg.test.ranks,
            )
            outcome = outcome_of(run, time.perf_counter() - started)
            if parallel.world().first:
                content = {
                    **outcome.summary(),
                    "trained_on": list(cfg.data.sources),
                    "started_from": started_from,
                    "config": as_mapping(cfg),
                }
                write_json(Path(cfg.data.save_dir) / RESULT_FILE, content)
    return outcome


@contextlib.contextmanager
def _last_checkpoint_named(cfg: CfgNode) -> Iterator[None]:
    """Add to a writing error that the last checkpoint is whole, if there is one."""
    try:
        yield
    except OutputError as error:
        last = Path(cfg.data.save_dir) / LAST
        if not last.exists():
            raise
        raise OutputError(
            f"{error} The last checkpoint is whole: resume with model.resume {last}"
        ) from error


def _started_from(cfg: CfgNode) -> dict[str, Any] | None:
    """Return the weights that a run started from and what these were trained on; None for none."""
    weights = cfg.model.load_weights or cfg.model.pretrained
    if weights in ("", False):
        return None
    name = f"{cfg.model.name}.imagenet" if weights is True else str(weights)
    if not cfg.model.load_weights and f"{cfg.model.name}.{name}" in available():
        name = f"{cfg.model.name}.{name}"
    try:
        entry = entry_of(name)
    except WeightsError:
        entry = None  # the file has been removed before the run was resumed
    return {"weights": name, "trained_on": [] if entry is None else list(entry.trained_on)}
