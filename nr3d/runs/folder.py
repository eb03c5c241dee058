"""A run's folder: what a run leaves in it, and that one run at a time writes there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from yacs.config import CfgNode

from nr3d import parallel
from nr3d.engine import BEST, LAST, read_records
from nr3d.engine.records import FILE_NAME
from nr3d.errors import ConfigError, Nr3dError, OutputError
from nr3d.files.atomic import sole_writer
from nr3d.files.locks import Locked

RESULT_FILE = "result.json"
"""What a finished run found, in its folder."""

SPLITS_FILE = "splits.json"
"""What a run over splits found, in its folder."""

_EVENTS = "events.out.tfevents.*"
"""TensorBoard's files."""

_held: set[Path] = set()
"""Folders that this process is the writer of."""


@contextlib.contextmanager
def sole_run(folder: str | Path) -> Iterator[None]:
    """Keep other runs out of a run's folder, and clear away what a killed one was writing.

    In processes that torchrun started the first holds the folder for all. A block within a block
    for the same folder is part of it. A folder that was made for the block and holds nothing at its
    end is removed.

    Args:
        folder: the run's; made if missing.

    Raises:
        ConfigError: if another process writes there; the message says which.
        OutputError: if the folder cannot be written.
    """
    place = Path(folder).resolve()
    if place in _held:
        yield
        return
    refusal: Nr3dError | None = None
    with contextlib.ExitStack() as stack:
        if parallel.world().first:
            try:
                stack.enter_context(_removed_if_empty(place))
                files = (LAST, BEST, FILE_NAME, RESULT_FILE, SPLITS_FILE)
                stack.enter_context(sole_writer(place / "run", *(place / name for name in files)))
            except Locked as error:
                refusal = ConfigError(
                    f"{folder} is being written by another run ({error.holder}): wait until that "
                    "has ended, or give this one another data.save_dir."
                )
            except OutputError as error:
                refusal = OutputError(
                    f"The folder {folder} cannot be written to ({error.reason}): make it writable, "
                    "or give another data.save_dir."
                )
        refusal = parallel.of_first(refusal)
        if refusal is not None:
            raise refusal
        _held.add(place)
        try:
            yield
        finally:
            _held.discard(place)


@contextlib.contextmanager
def _removed_if_empty(folder: Path) -> Iterator[None]:
    made = not folder.exists()
    try:
        yield
    finally:
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def files_of_run(folder: str | Path) -> list[str]:
    """Name the files of a training run in a folder, the checkpoints first; none without one.

    Records of tests alone, such as ``nr3d test`` leaves, are not a run's.
    """
    folder = Path(folder)
    files = [n for n in (LAST, BEST, RESULT_FILE, SPLITS_FILE) if (folder / n).exists()]
    if any(record.get("epoch") is not None for record in read_records(folder)):
        files.append(FILE_NAME)
    return files + sorted(path.name for path in folder.glob(_EVENTS))


def keep_earlier_run(cfg: CfgNode) -> None:
    """Refuse to train over the files of a run that is not the one to go on with.

    Raises:
        ConfigError: naming the folder and both ways on.
    """
    folder = Path(cfg.data.save_dir)
    if cfg.model.resume and Path(cfg.model.resume).resolve().parent == folder.resolve():
        return
    files = parallel.of_first(files_of_run(folder))
    if not files:
        return
    if LAST in files:
        raise ConfigError(
            f"{folder} holds an earlier run: go on with it by model.resume {folder / LAST}, or "
            "give this one another data.save_dir."
        )
    best = f", or start from its weights by model.load_weights {folder / BEST}"
    raise ConfigError(
        f"{folder} holds an earlier run without its last checkpoint ({', '.join(files[:3])}): "
        f"give this one another data.save_dir{best if BEST in files else ''}, or delete the folder."
    )


def is_cut_off(folder: str | Path) -> bool:
    """Say whether a folder holds a run that ended before its first checkpoint."""
    files = files_of_run(folder)
    return bool(files) and not {LAST, BEST, RESULT_FILE, SPLITS_FILE} & set(files)
