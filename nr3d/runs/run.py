"""A run: a configuration checked, its processes joined, its data, model and engine built.

Every command that computes with a network starts here, so that a rehearsal, a training, a test and
an extraction prepare the same things in the same order.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from yacs.config import CfgNode

from nr3d import parallel
from nr3d.config import Command
from nr3d.errors import DataError
from nr3d.host import torchreid
from nr3d.models import VideoReID
from nr3d.runs.building import AnyEngine, build_datamanager, build_engine, build_model
from nr3d.runs.configuration import changed, check, settled
from nr3d.runs.folder import check_save_dir


@contextlib.contextmanager
def opened(cfg: CfgNode, command: Command) -> Iterator[Run]:
    """Check a configuration and join the processes that torchrun started, for a block.

    Args:
        cfg: a complete configuration.
        command: the command that uses it.

    Yields:
        Run: the run, of which nothing is built yet.

    Raises:
        ConfigError: if a value cannot be used.
        OutputError: if ``data.save_dir`` cannot be written and the command writes there.
        Nr3dError: if the processes cannot be joined.
    """
    check(cfg)
    with parallel.joined(cfg.use_gpu):
        if command is not Command.EXTRACT:
            check_save_dir(cfg)
        yield Run(cfg, command)


class Run:
    """Data, model and engine of a checked configuration, each built when it is first used.

    The random generators are seeded before the data is built; the model needs the data and the
    engine needs both, so that the order is always seed, data, model, engine.

    Args:
        cfg: a complete configuration, checked.
        command: the command that uses it.
    """

    def __init__(self, cfg: CfgNode, command: Command) -> None:
        self.cfg = settled(cfg)
        self.command = command

    @property
    def training(self) -> bool:
        """Whether the run trains."""
        return self.command is Command.TRAIN

    @cached_property
    def datamanager(self) -> Any:
        """The data.

        Raises:
            DataError: if a dataset or one of its files is missing or does not fit, or if there is
                too little to train or to test with.
            ConfigError: if a value cannot be used.
        """
        torchreid.utils.set_random_seed(self.cfg.train.seed)
        datamanager = build_datamanager(self.cfg, training=self.training)
        if self.training and len(datamanager.train_loader) == 0:
            raise DataError(
                "The training set gives no whole batch: set train.batch_size to fewer clips."
            )
        if self.command is not Command.EXTRACT:
            _refuse_untestable(datamanager)
        return datamanager

    @cached_property
    def model(self) -> VideoReID:
        """The model, with the weights that it starts from.

        Raises:
            ConfigError: if it cannot be built this way.
            WeightsError: if its weights cannot be fetched, read or loaded.
        """
        # Data to test only has no identities to train, and a test does not use the classifier.
        people = max(1, self.datamanager.num_train_pids)
        return build_model(self.cfg, people, training=self.training)

    @cached_property
    def engine(self) -> AnyEngine:
        """The engine, with its optimizers and schedule.

        Raises:
            ConfigError: if a value cannot be used.
        """
        datamanager, model = self.datamanager, self.model
        return build_engine(self.cfg, datamanager, model, testing=not self.training)

    def without_weights(self) -> Run:
        """Return the run as it can be built while the weights that it starts from are missing."""
        cfg = changed(self.cfg, "model.load_weights", "")
        return Run(changed(cfg, "model.pretrained", False), self.command)


def _refuse_untestable(datamanager: Any) -> None:
    """Refuse data that a run would find empty at its test."""
    for name, parts in datamanager.test_dataset.items():
        for part, tracklets in parts.items():
            if not tracklets:
                raise DataError(
                    f"{name} has no {part} tracklet to test: restore its {part}, or give another "
                    "dataset by data.targets if it was made for training only."
                )
