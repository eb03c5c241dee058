"""Points at which a run may stop, leaving a checkpoint."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from nr3d import parallel
from nr3d.engine.randomness import random_states
from nr3d.engine.state import LAST
from nr3d.processes import stopping
from nr3d.processes.stopping import Interrupted

if TYPE_CHECKING:
    from nr3d.engine.engine import VideoNot3DEngine


def stop_if_asked(engine: VideoNot3DEngine, save_dir: str, *, written: bool = False) -> None:
    """Stop a run with a checkpoint if any of its processes was asked to.

    Args:
        engine: engine of the run.
        save_dir: the run's folder.
        written: whether the last checkpoint already holds the present state.

    Raises:
        Interrupted: if a process was asked to stop; raised in all processes.
    """
    asked = parallel.greatest(stopping.requested())
    if asked:
        _stop(engine, asked, save_dir, written=written)


def stop_within_epoch(engine: VideoNot3DEngine, save_dir: str, *, written: bool) -> None:
    """Stop after the batch just done if the run was asked to and can be resumed there.

    Arguments and errors are those of :func:`stop_if_asked`.
    """
    done = engine.batch_idx + 1
    whole = done % engine.options.accumulation_steps == 0
    # After the last batch, the epoch is completed first.
    if whole and done < engine.num_batches and hasattr(engine.train_loader, "set_epoch"):
        stop_if_asked(engine, save_dir, written=written)


def test_or_stop(engine: VideoNot3DEngine, arguments: Mapping[str, Any]) -> float:
    """Test after an epoch; a run that is stopped meanwhile repeats the test when resumed.

    Args:
        engine: engine of the run.
        arguments: arguments of its ``test``.

    Returns:
        float: rank-1 of the test, 0..1.

    Raises:
        Interrupted: if the run was asked to stop before or during the test.
    """
    progress = engine.progress
    progress.untested, progress.random = True, random_states()
    stop_if_asked(engine, arguments["save_dir"])
    if engine.epoch + 1 == engine.max_epoch:
        engine.journal.say("=> Final test")
    try:
        with stopping.at_once():
            rank1 = engine.test(**arguments)
    except KeyboardInterrupt as error:
        _stop(engine, getattr(error, "number", signal.SIGINT), arguments["save_dir"])
    progress.untested, progress.random = False, None
    return rank1


def _stop(
    engine: VideoNot3DEngine, asked: int, save_dir: str, *, written: bool = False
) -> NoReturn:
    stopping.withdraw()
    progress = engine.progress
    if not written:
        engine.checkpoints.write_last(progress, save_dir)
    where = f"after epoch {progress.epoch}"
    if progress.step:
        where = f"after batch {progress.step} of {engine.num_batches} of epoch {engine.epoch + 1}"
    elif progress.untested:
        where += ", before its test"
    raise Interrupted(asked, where, Path(save_dir) / LAST)
