"""Checkpoint files: read weights-only, written beside and renamed into place."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from nr3d.atomic import replacing
from nr3d.errors import WeightsError


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint on the CPU, weights-only: nothing in the file is run.

    Args:
        path: file of a state dict, or of a dict that holds one as ``state_dict``.

    Raises:
        WeightsError: if the file is missing, damaged, holds code, or is not a dict.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise WeightsError(f"No checkpoint at {path}: give the path of an existing file.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(
            f"{path} is not a weights-only checkpoint and is not loaded, since unpickling it could "
            f"run code ({reason}). Save it again from where it came, tensors and plain values only."
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise WeightsError(
            f"{path} is not a readable checkpoint ({reason}): it may be cut short; fetch or save "
            "it again."
        ) from error
    if not isinstance(checkpoint, dict):
        raise WeightsError(
            f"{path} holds a {type(checkpoint).__name__}, expected a state dict or a dict that has "
            "one as 'state_dict'."
        )
    return checkpoint


def write_checkpoint(state: dict[str, Any], path: str | Path) -> None:
    """Write a checkpoint so that ``path`` is at every moment the old file or the whole new one.

    Args:
        state: tensors and plain Python values, so that a weights-only load takes it.
        path: where to; missing folders are made.

    Raises:
        OSError: if the disk is full or the folder cannot be written; ``path`` is then as before.
    """
    with replacing(path) as partial:
        torch.save(state, partial)
