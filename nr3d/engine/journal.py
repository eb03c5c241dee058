"""Progress reports of a run: lines on standard output, records and curves."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from nr3d.engine.attention import record_of
from nr3d.engine.records import append_record, drop_records_after
from nr3d.engine.results import TestResult
from nr3d.engine.scalars import ScalarLog
from nr3d.models import AttentionHealth


class Journal:
    """Prints as torchreid's engines do, and fills ``metrics.jsonl`` and TensorBoard's file.

    Args:
        first: whether this is the process that reports; the others are silent.
    """

    def __init__(self, first: bool) -> None:
        self.first = first
        self._curves: ScalarLog | None = None

    def open(
        self, save_dir: str | Path, *, epoch: int, untested: bool, first_step: int | None
    ) -> ScalarLog | None:
        """Start reporting a training run.

        Whatever a stopped run wrote after its last checkpoint is dropped, to be written again.

        Args:
            save_dir: the run's folder.
            epoch: number of finished epochs.
            untested: whether the test after the last of them is still due.
            first_step: number of finished batches of all epochs; None for a new run.

        Returns:
            ScalarLog: the run's curves; None in all processes but the first.
        """
        if self.first:
            drop_records_after(save_dir, epoch, untested=untested)
            self._curves = ScalarLog(save_dir, purge_step=first_step)
        return self._curves

    def close(self) -> None:
        """Write the rest of the curves."""
        if self._curves is not None:
            self._curves.close()
            self._curves = None

    def say(self, line: str) -> None:
        """Print a line without breaking a progress bar."""
        if self.first:
            tqdm.write(line)
            sys.stdout.flush()  # also for a file that somebody follows

    def bar(self, total: int, done: int, title: str) -> tqdm[Any]:
        """Return the progress bar of an epoch, hidden in all processes but the first."""
        return tqdm(
            total=total,
            initial=done,
            desc=title,
            unit="batch",
            leave=False,
            disable=None if self.first else True,
        )

    def step(self, summary: Mapping[str, float | None], number: int) -> None:
        """Add a step's figures to the curves.

        Args:
            summary: figures by name; None is left out.
            number: number of the step in the whole run, from 0.
        """
        if self._curves is not None:
            for name, value in summary.items():
                if value is not None:
                    self._curves.add_scalar(f"Train/{name}", value, number)

    def epoch(
        self,
        record: dict[str, Any],
        max_epoch: int,
        save_dir: str | Path,
        attention: AttentionHealth | None = None,
    ) -> None:
        """Record an epoch and print its line, with the health of the attention if it has one."""
        self._record(save_dir, record)
        terms = [f"{k} {v:.4g}" for k, v in record.items() if k.startswith("loss")]
        if "acc" in record:  # missing with torchreid's triplet loss alone
            terms.append(f"acc {record['acc']:.1f}")
        if attention is not None:
            terms.append(f"attention {attention}")
        self.say(
            f"epoch {record['epoch']}/{max_epoch}  {'  '.join(terms)}  "
            f"lr {record['lr']:.2e}  {record['seconds']:.1f} s"
        )

    def test(
        self,
        result: TestResult,
        ranks: Sequence[int],
        save_dir: str | Path,
        *,
        epoch: int,
        bad_frames: int,
    ) -> None:
        """Print a test's figures as torchreid does, and record them.

        Args:
            result: result of the test.
            ranks: ranks to print, from 1.
            save_dir: folder of the records; empty for none.
            epoch: epoch of the run, from 0.
            bad_frames: number of frames left out so far.
        """
        self.say("** Results **" if result.protocol == "torchreid" else f"** {result.protocol} **")
        self.say(f"mAP: {result.mAP:.1%}")
        self.say("CMC curve")
        for r in ranks:
            self.say(f"Rank-{r:<3}: {result.ranks[r]:.1%}")
        if self._curves is not None:
            self._curves.add_scalar(f"Test/{result.dataset}/rank1", result.rank1, epoch)
            self._curves.add_scalar(f"Test/{result.dataset}/mAP", result.mAP, epoch)
        self.record_test(result, save_dir, epoch=epoch, bad_frames=bad_frames)

    def record_test(
        self, result: TestResult, save_dir: str | Path, *, epoch: int, bad_frames: int = 0
    ) -> None:
        """Record a test's figures without printing them; arguments as for :meth:`test`."""
        if save_dir:
            record = {
                "kind": "test",
                "epoch": epoch + 1 if self._curves is not None else None,
                "dataset": result.dataset,
                "protocol": result.protocol,
                "distractors_dropped": result.distractors_dropped,
                **result.figures,
                **record_of(result.attention),
                "bad_frames": bad_frames,
                "seconds": round(result.extract_seconds + result.rank_seconds, 3),
            }
            self._record(save_dir, record)

    def _record(self, save_dir: str | Path, record: dict[str, Any]) -> None:
        if self.first:
            append_record(save_dir, record)
