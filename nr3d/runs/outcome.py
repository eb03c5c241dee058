"""The outcome of a run that trained or tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nr3d.data import Tracklet
from nr3d.engine import TestResult
from nr3d.runs.run import Run
from nr3d.version import versions


@dataclass(frozen=True)
class Outcome:
    """The results of a run, and what belongs to them."""

    results: Mapping[str, TestResult]
    """Results of the last test by the protocol that counts, by dataset."""
    by_protocol: Mapping[str, Mapping[str, TestResult]]
    """Results of the last test by every protocol that was used, by dataset and protocol."""
    best_rank1: float | None
    """Best rank-1 of the run's tests, from 0 to 1; None if the run did not train."""
    seconds: float
    """Wall-clock duration of the run, in seconds."""
    bad_frames: Sequence[str]
    """Paths of the frames that could not be read and were left out."""
    save_dir: Path
    """Folder of the run."""
    parameters: int
    """Number of parameters of the model."""
    model: str
    """Name of the model."""
    distances: Mapping[str, npt.NDArray[np.float32]]
    """(Q, G) distances that the gallery was ranked by, by dataset, where they were kept."""
    tracklets: Mapping[str, tuple[Sequence[Tracklet], Sequence[Tracklet]]]
    """Query and gallery tracklets, by dataset."""
    stated_attention: str | None = None
    """State of the attention that the facts of the weights state, ``'flat'`` or ``'alive'``."""

    def summary(self) -> dict[str, Any]:
        """Return the outcome as plain values, as the JSON files hold it."""
        return {
            "model": self.model,
            "parameters": self.parameters,
            "results": summaries(list(self.by_protocol.values())),
            "best_rank1": self.best_rank1,
            "bad_frames": list(self.bad_frames),
            "seconds": self.seconds,
            "versions": versions(),
        }


def outcome_of(run: Run, seconds: float) -> Outcome:
    """Return the outcome of a run after its last test; every process has to call this.

    Args:
        run: the run, whose engine has tested.
        seconds: wall-clock duration of the run, in seconds.
    """
    engine, entry = run.engine, run.model.entry
    return Outcome(
        results=engine.results,
        by_protocol=engine.by_protocol,
        best_rank1=engine.best_rank1,
        seconds=seconds,
        bad_frames=engine.bad_frames(),
        save_dir=Path(run.cfg.data.save_dir),
        parameters=sum(parameter.numel() for parameter in engine.model.parameters()),
        model=run.cfg.model.name,
        distances=engine.distances,
        tracklets={name: engine.datamanager.fetch_test_loaders(name) for name in engine.results},
        stated_attention=None if entry is None else entry.attention,
    )


def summaries(results: Sequence[Mapping[str, TestResult]]) -> dict[str, Any]:
    """Return the results of datasets as plain values, by dataset.

    The figures of a dataset are those by the protocol that counts; ``protocols`` holds those by
    every protocol.

    Args:
        results: the results of each dataset by protocol, the protocol that counts first.
    """
    found = {}
    for by_protocol in results:
        first = next(iter(by_protocol.values()))
        each = {protocol: result.summary() for protocol, result in by_protocol.items()}
        # The details are listed with the protocols only.
        plain = replace(first, details={}).summary()
        found[first.dataset] = {**plain, "protocols": each}
    return found
