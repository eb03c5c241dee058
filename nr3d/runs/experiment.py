"""Training and testing by a configuration, and what came out."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from yacs.config import CfgNode

from nr3d import parallel
from nr3d.config import load_config
from nr3d.data import Tracklet
from nr3d.engine import LAST, TestResult
from nr3d.errors import DataError, OutputError, WeightsError, reason_of
from nr3d.files.json_files import write_json
from nr3d.host import torchreid
from nr3d.processes import stopping
from nr3d.runs.building import (
    AnyEngine,
    as_mapping,
    build_datamanager,
    build_engine,
    build_model,
    check,
    check_layers,
    pretrained_of,
)
from nr3d.runs.folder import RESULT_FILE, is_cut_off, keep_earlier_run, sole_run
from nr3d.version import versions
from nr3d.weights import available, entry_of

logger = logging.getLogger(__name__)


def check_save_dir(cfg: CfgNode) -> None:
    """Refuse a save folder that cannot be written; nothing is left behind.

    Raises:
        OutputError: naming the folder and what is in the way.
    """
    why = parallel.of_first(_why_unwritable(cfg) if parallel.world().first else None)
    if why is not None:
        raise OutputError(why)


def _why_unwritable(cfg: CfgNode) -> str | None:
    folder = Path(cfg.data.save_dir).absolute()
    try:
        found = next(p for p in (folder, *folder.parents) if p.is_symlink() or p.exists())
        if not found.is_dir():
            return (
                f"data.save_dir is {cfg.data.save_dir}, and {found} is no folder: give another "
                "data.save_dir"
            )
        with tempfile.TemporaryFile(dir=found):
            return None
    except OSError as error:
        return (
            f"data.save_dir is {cfg.data.save_dir}, which cannot be written "
            f"({error.strerror or reason_of(error)}): make its folder writable, or give another "
            "data.save_dir"
        )


def prepare(cfg: CfgNode, *, anew: bool = False) -> tuple[AnyEngine, int]:
    """Build a run, and refuse now what would stop it later; nothing is written.

    Args:
        cfg: a whole configuration.
        anew: as for :func:`train`.

    Returns:
        tuple: the engine, and the epochs that are done.

    Raises:
        Nr3dError: for anything that would stop the run and that the user can mend.
    """
    check(cfg)
    check_save_dir(cfg)
    if not (anew and parallel.of_first(is_cut_off(cfg.data.save_dir))):
        keep_earlier_run(cfg)
    torchreid.utils.set_random_seed(cfg.train.seed)
    datamanager = build_datamanager(cfg)
    _check_parts(datamanager)
    model = build_model(cfg, datamanager.num_train_pids, pretrained=pretrained_of(cfg))
    check_layers(cfg, model)
    engine = build_engine(cfg, datamanager, model)
    return engine, engine.resume(cfg.model.resume) if cfg.model.resume else 0


def _check_parts(datamanager: Any) -> None:
    """Refuse data that a run would find too small at its first step, or at its test."""
    if len(datamanager.train_loader) == 0:
        raise DataError(
            "The training set gives no whole batch: set train.batch_size to fewer clips."
        )
    for name, parts in datamanager.test_dataset.items():
        for part, tracklets in parts.items():
            if not tracklets:
                raise DataError(f"{name} has no {part} tracklet to test: restore its {part}.")


@dataclass(frozen=True)
class Outcome:
    """What a run gave."""

    results: Mapping[str, TestResult]
    """Dataset name to its test, by the protocol that counts."""
    by_protocol: Mapping[str, Mapping[str, TestResult]]
    """Dataset name to its test by each protocol that was asked for."""
    best_rank1: float | None
    """The best rank-1 of the run's tests, 0..1; None if it did not train."""
    seconds: float
    bad_frames: Sequence[str]
    """Frames that could not be read and were left out."""
    save_dir: Path
    parameters: int
    model: str
    distances: Mapping[str, npt.NDArray[np.float32]]
    """Dataset name to the (Q, G) matrix that its gallery was ranked by, where it was kept."""
    tracklets: Mapping[str, tuple[Sequence[Tracklet], Sequence[Tracklet]]]
    """Dataset name to its query and gallery tracklets."""

    def summary(self) -> dict[str, Any]:
        """Give everything as plain values, for a machine."""
        return {
            "model": self.model,
            "parameters": self.parameters,
            "results": summaries(list(self.by_protocol.values())),
            "best_rank1": self.best_rank1,
            "bad_frames": list(self.bad_frames),
            "seconds": self.seconds,
            "versions": versions(),
        }


def summaries(results: Sequence[Mapping[str, TestResult]]) -> dict[str, Any]:
    """Give the results of datasets as plain values, by dataset.

    The figures of each are those by the protocol that counts, and below ``protocols`` by each.

    Args:
        results: a dataset's by protocol, the one that counts first.
    """
    found = {}
    for by_protocol in results:
        first = next(iter(by_protocol.values()))
        each = {protocol: result.summary() for protocol, result in by_protocol.items()}
        # Details stand with the protocols alone.
        plain = replace(first, details={}).summary()
        found[first.dataset] = {**plain, "protocols": each}
    return found


def config_to_test(
    name_or_path: str | Path, weights: str | Path, changes: Sequence[str] = ()
) -> CfgNode:
    """Load a configuration to test weights with, and what belongs to the weights with it.

    Their network, input size, frames of a clip, normalisation and distance, where they are known,
    go before the configuration's, and ``changes`` before both.

    Args:
        name_or_path: as for :func:`nr3d.config.load_config`.
        weights: a name in the weights index, or a file.
        changes: keys and values in turn.

    Raises:
        ConfigError: as for :func:`nr3d.config.load_config`.
        WeightsError: if the file is missing or cannot be read.
    """
    entry = entry_of(weights)
    facts = {} if entry is None else entry.changes()
    if facts:
        told = ", ".join(f"{key} {value}" for key, value in facts.items())
        logger.info("%s is tested with %s, unless KEY VALUE says otherwise", weights, told)
    words = [word for key, value in facts.items() for word in (key, str(value))]
    return load_config(name_or_path, [*words, "model.load_weights", str(weights), *changes])


def train(cfg: CfgNode, *, anew: bool = False) -> Outcome:
    """Train the model of a configuration and test it, in all processes that torchrun started.

    Args:
        cfg: a whole configuration, such as :func:`nr3d.config.load_config` gives.
        anew: train over a run that ended before its first checkpoint.

    Returns:
        Outcome: the last test's results.

    Raises:
        Nr3dError: for anything that the user can mend; the message says how.
    """
    check(cfg)
    with parallel.joined(cfg.use_gpu):
        check_save_dir(cfg)
        with sole_run(cfg.data.save_dir):
            try:
                return _train(cfg, anew)
            except OutputError as error:
                last = Path(cfg.data.save_dir) / LAST
                if not last.exists():
                    raise
                raise OutputError(
                    f"{error} The last checkpoint is whole: go on by model.resume {last}"
                ) from error


def _train(cfg: CfgNode, anew: bool) -> Outcome:
    started = time.perf_counter()
    engine, start_epoch = prepare(cfg, anew=anew)
    started_from = _started_from(cfg)
    with stopping.at_safe_points():  # also while the result is written
        engine.run(
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
        outcome = _outcome(cfg, engine, started)
        if parallel.world().first:
            content = {
                **outcome.summary(),
                "trained_on": list(cfg.data.sources),
                "started_from": started_from,
                "config": as_mapping(cfg),
            }
            write_json(Path(cfg.data.save_dir) / RESULT_FILE, content)
    return outcome


def _started_from(cfg: CfgNode) -> dict[str, Any] | None:
    """Say which weights a run started from, and what these were trained on; None for none."""
    weights = cfg.model.load_weights or cfg.model.pretrained
    if weights in ("", False):
        return None
    name = f"{cfg.model.name}.imagenet" if weights is True else str(weights)
    if not cfg.model.load_weights and f"{cfg.model.name}.{name}" in available():
        name = f"{cfg.model.name}.{name}"
    try:
        entry = entry_of(name)
    except WeightsError:
        entry = None  # a file that is gone by the time that a run goes on
    return {"weights": name, "trained_on": [] if entry is None else list(entry.trained_on)}


def evaluate(cfg: CfgNode) -> Outcome:
    """Test the weights ``model.load_weights`` of a configuration; none tests an untrained network.

    Raises:
        Nr3dError: for anything that the user can mend; the message says how.
    """
    check(cfg)
    with parallel.joined(cfg.use_gpu):
        return _evaluate(cfg)


def _evaluate(cfg: CfgNode) -> Outcome:
    started = time.perf_counter()
    check_save_dir(cfg)
    torchreid.utils.set_random_seed(cfg.train.seed)
    datamanager = build_datamanager(cfg, training=False)
    model = build_model(cfg, datamanager.num_train_pids, pretrained=False, whole=True)
    engine = build_engine(cfg, datamanager, model, testing=True)
    engine.run(
        save_dir=cfg.data.save_dir,
        test_only=True,
        dist_metric=cfg.test.dist_metric,
        normalize_feature=cfg.test.normalize_feature,
        visrank=cfg.test.visrank,
        visrank_topk=cfg.test.visrank_topk,
        ranks=cfg.test.ranks,
        rerank=cfg.test.rerank,
    )
    return _outcome(cfg, engine, started)


def _outcome(cfg: CfgNode, engine: AnyEngine, started: float) -> Outcome:
    return Outcome(
        results=engine.results,
        by_protocol=engine.by_protocol,
        best_rank1=engine.best_rank1,
        seconds=time.perf_counter() - started,
        bad_frames=engine.bad_frames(),
        save_dir=Path(cfg.data.save_dir),
        parameters=sum(parameter.numel() for parameter in engine.model.parameters()),
        model=cfg.model.name,
        distances=engine.distances,
        tracklets={name: engine.datamanager.fetch_test_loaders(name) for name in engine.results},
    )
