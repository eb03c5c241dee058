"""The last and the best checkpoint in a run's folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nr3d import parallel
from nr3d.engine.restoring import restore_run
from nr3d.engine.state import BEST, LAST, Progress, RunParts, not_finite, run_state
from nr3d.errors import Nr3dError
from nr3d.weights import write_checkpoint

_LEAST_SCALE = 1e-4
"""Smallest loss scale of fp16; below it, the scaled values are too small for fp16 anyway."""


class Checkpoints:
    """Writes and reads a run's checkpoints; the first process alone writes.

    Args:
        parts: the run's parts.
        facts: function that returns the plain values stored with the weights; its argument is
            whether the weights were tested in their present state.
    """

    def __init__(self, parts: RunParts, facts: Callable[[bool], Mapping[str, Any]]) -> None:
        self.parts = parts
        self.facts = facts

    def write_last(self, progress: Progress, save_dir: str | Path) -> None:
        """Write the last checkpoint at a point where no test was run."""
        self._write(self._state(progress, None), Path(save_dir) / LAST)

    def write_tested(
        self, progress: Progress, rank1: float | None, save_dir: str | Path, *, is_best: bool
    ) -> None:
        """Write the checkpoint after an epoch.

        Args:
            progress: progress of the run.
            rank1: rank-1 of the test after the epoch, 0..1; None without a test.
            save_dir: the run's folder.
            is_best: whether this is also the best checkpoint.
        """
        state = self._state(progress, rank1)
        if is_best:
            self._write(state, Path(save_dir) / BEST)
        self._write(state, Path(save_dir) / LAST)

    def restore(self, path: str | Path) -> Progress:
        """Restore the run from a checkpoint; see :func:`restore_run`."""
        return restore_run(path, self.parts, facts=self.facts(False))

    def _write(self, state: dict[str, Any], path: Path) -> None:
        if parallel.world().first:
            write_checkpoint(state, path)

    def _state(self, progress: Progress, rank1: float | None) -> dict[str, Any]:
        """Build a checkpoint in every process, so that all of them stop if none can be written."""
        scaler = self.parts.precision.scaler
        scale = scaler.get_scale()
        if scaler.is_enabled() and scale < _LEAST_SCALE:
            raise Nr3dError(
                f"fp16's loss scale has fallen to {scale:g}, since gradients overflow at every "
                "step, and nothing is learnt: set train.precision float32 (or bf16). The last "
                "checkpoint is as it was."
            )
        state = run_state(
            self.parts, progress=progress, rank1=rank1, facts=self.facts(rank1 is not None)
        )
        damaged = not_finite(state)
        if damaged is not None:
            raise Nr3dError(
                f"The numbers of the run are no longer finite ({damaged}): lower train.lr and "
                "resume with model.resume. The last checkpoint is as it was."
            )
        return state
