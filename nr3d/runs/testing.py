"""Tests by a configuration: of weights on a dataset, and of a feature store."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from yacs.config import CfgNode

from nr3d.config import (
    KEYS,
    Command,
    Scope,
    check_values,
    config_of,
    keys_that_change,
    leaves,
    load_config,
    refuse_unused,
)
from nr3d.data.datasets.parts import KINDS
from nr3d.engine import TestResult, judge
from nr3d.errors import ConfigError, FeatureStoreError
from nr3d.features import FeatureStore
from nr3d.runs.building import device_of, test_options
from nr3d.runs.configuration import check
from nr3d.runs.outcome import Outcome, outcome_of
from nr3d.runs.run import opened
from nr3d.weights import entry_of

logger = logging.getLogger(__name__)


def config_to_test(
    name_or_path: str | Path, weights: str | Path, changes: Sequence[str] = ()
) -> CfgNode:
    """Load a configuration to test weights with, together with what belongs to the weights.

    The network, input size, clip length, normalisation and distance of the weights, where they are
    known, take precedence over the configuration, and ``changes`` over both.

    Args:
        name_or_path: a shipped name or a YAML file, as for :func:`nr3d.config.load_config`.
        weights: a name in the weights index, or the path of a file.
        changes: keys and values in turn.

    Raises:
        ConfigError: if the configuration cannot be loaded, as for
            :func:`nr3d.config.load_config`.
        WeightsError: if the file is missing or cannot be read.
    """
    entry = entry_of(weights)
    facts = {} if entry is None else entry.changes()
    if facts:
        known = ", ".join(f"{key} {value}" for key, value in facts.items())
        logger.info("%s is tested with %s, unless KEY VALUE says otherwise", weights, known)
    words = [word for key, value in facts.items() for word in (key, str(value))]
    return load_config(name_or_path, [*words, "model.load_weights", str(weights), *changes])


def evaluate_weights(cfg: CfgNode) -> Outcome:
    """Test the weights ``model.load_weights``, in all processes that torchrun started.

    Args:
        cfg: a complete configuration; without ``model.load_weights`` an untrained network is
            tested.

    Returns:
        Outcome: the results, and what belongs to them.

    Raises:
        Nr3dError: for every failure that the user can fix; the message says how.
    """
    with opened(cfg, Command.TEST) as run:
        started = time.perf_counter()
        run.engine.run(
            save_dir=cfg.data.save_dir,
            test_only=True,
            dist_metric=cfg.test.dist_metric,
            normalize_feature=cfg.test.normalize_feature,
            visrank=cfg.test.visrank,
            visrank_topk=cfg.test.visrank_topk,
            ranks=cfg.test.ranks,
            rerank=cfg.test.rerank,
        )
        return outcome_of(run, time.perf_counter() - started)


def evaluate_features(path: str | Path, changes: Sequence[str] = ()) -> dict[str, TestResult]:
    """Test from a feature store, without a network or images.

    Args:
        path: a feature store that holds the query and gallery splits.
        changes: keys and values in turn that change the configuration with which the store was
            made; only keys that a ranking depends on, such as those of ``test``.

    Returns:
        dict: the results by protocol; the protocol that counts is the first.

    Raises:
        FeatureStoreError: if the store cannot be used, or lacks a query or gallery tracklet.
        DataError: if there is nothing to rank.
        ConfigError: if a key or value cannot be used.
    """
    refuse_unused(changes, Command.FEATURES)
    store = FeatureStore(path)
    cfg = _ranking_config(store, changes)
    check(cfg)
    store.require("query", "gallery")
    for split in ("query", "gallery"):
        if not store.counts.get(split):
            raise FeatureStoreError(
                f"{store.path} has no {split} tracklet, since {store.origin.dataset} has none to "
                "test: give the store of a dataset that is not for training only."
            )
    kind = str(store.origin.settings.get("tracklets", ""))
    judgement = judge(
        store.origin.dataset,
        store.load("query"),
        store.load("gallery"),
        ranks=cfg.test.ranks,
        options=test_options(cfg, whole=True),
        device=device_of(cfg),
        dist_metric=cfg.test.dist_metric,
        normalize_feature=cfg.test.normalize_feature,
        rerank=cfg.test.rerank,
        kind=kind if kind in KINDS else "",
    )
    return dict(judgement.results)


def _ranking_config(store: FeatureStore, changes: Sequence[str]) -> CfgNode:
    """Return the changed configuration of a store, as far as it concerns the ranking.

    The other keys do not matter here, and may be those of another version.
    """
    given = dict(leaves(store.origin.config))
    made = [key for key in keys_that_change(Scope.FEATURES, Command.EXTRACT) if key.name in given]
    try:
        check_values(given, made)
    except ConfigError as error:
        raise FeatureStoreError(
            f"{store.path} was made with a setting that has no meaning ({error}): extract the "
            "features again."
        ) from error
    used = {
        name: value
        for name, value in given.items()
        if name in KEYS and KEYS[name].commands & Command.FEATURES
    }
    return config_of(used, changes)
