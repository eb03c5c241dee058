"""The folder of a run: its files, and the guarantee that only one run at a time writes there."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from yacs.config import CfgNode

from nr3d import parallel
from nr3d.engine import BEST, LAST, read_records
from nr3d.engine.records import FILE_NAME
from nr3d.errors import ConfigError, Nr3dError, OutputError, reason_of
from nr3d.files.atomic import sole_writer
from nr3d.files.locks import Locked
from nr3d.runs.results import RESULT_FILE, SPLITS_FILE

_EVENTS = "events.out.tfevents.*"
"""Names of TensorBoard's files."""

_held: set[Path] = set()
"""Folders whose only writer is this process."""


def check_save_dir(cfg: CfgNode) -> None:
    """Refuse a ``data.save_dir`` that cannot be written, without leaving anything there.

    Raises:
        OutputError: if it cannot be written; the message names the folder and what is in the way.
    """
    why = parallel.of_first(_why_unwritable(cfg) if parallel.world().first else None)
    if why is not None:
        raise OutputError(why)


def nearest(folder: str | Path) -> Path:
    """Return a folder, or the nearest place above it that exists."""
    folder = Path(folder).absolute()
    return next(p for p in (folder, *folder.parents) if p.is_symlink() or p.exists())


def _why_unwritable(cfg: CfgNode) -> str | None:
    try:
        found = nearest(cfg.data.save_dir)
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


@contextlib.contextmanager
def sole_run(folder: str | Path) -> Iterator[None]:
    """Keep other runs out of a folder for a block, and remove what a killed run was writing.

    Of the processes that torchrun started, the first holds the folder for all. A block within a
    block for the same folder is part of the outer one. A folder that was created for the block and
    is empty at its end is removed.

    Args:
        folder: the folder of the run, which is created if it is missing.

    Raises:
        ConfigError: if another process writes there; the message says which one.
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
    """Return the names of the files that a training run left in a folder, checkpoints first.

    Records of tests alone, such as ``nr3d test`` leaves, do not make a run; the list is then empty.
    """
    folder = Path(folder)
    files = [n for n in (LAST, BEST, RESULT_FILE, SPLITS_FILE) if (folder / n).exists()]
    if any(record.get("epoch") is not None for record in read_records(folder)):
        files.append(FILE_NAME)
    return files + sorted(path.name for path in folder.glob(_EVENTS))


def keep_earlier_run(cfg: CfgNode) -> None:
    """Refuse to train over the files of a run, unless it is the one that is resumed.

    Raises:
        ConfigError: if ``data.save_dir`` holds another run; the message says how to resume it and
            how to leave it alone.
    """
    folder = Path(cfg.data.save_dir)
    if cfg.model.resume and Path(cfg.model.resume).resolve().parent == folder.resolve():
        return
    files = parallel.of_first(files_of_run(folder))
    if not files:
        return
    if LAST in files:
        raise ConfigError(
            f"{folder} holds an earlier run: resume it with model.resume {folder / LAST}, or give "
            "this one another data.save_dir."
        )
    best = f", or start from its weights with model.load_weights {folder / BEST}"
    raise ConfigError(
        f"{folder} holds an earlier run without its last checkpoint ({', '.join(files[:3])}): "
        f"give this one another data.save_dir{best if BEST in files else ''}, or delete the folder."
    )


def is_cut_off(folder: str | Path) -> bool:
    """Return whether a folder holds a run that ended before its first checkpoint."""
    files = files_of_run(folder)
    return bool(files) and not {LAST, BEST, RESULT_FILE, SPLITS_FILE} & set(files)
