"""Checkpoint files: reading without running code, and writing via a temporary file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nr3d.errors import WeightsError, reason_of, shown
from nr3d.files.atomic import replacing
from nr3d.files.home import expanded
from nr3d.weights.kinds import what_it_is
from nr3d.weights.pickled import AsksForCodeError, ForeignError
from nr3d.weights.safetensors_file import is_safetensors, read_safetensors
from nr3d.weights.saved import load_saved
from nr3d.weights.states import STATES, tensors_of


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint on the CPU, completely or not at all, without running any code in it.

    Zip archives of ``torch.save`` are verified by the CRC-32 of every member, and safetensors
    written by :func:`nr3d.weights.export` by the checksum in their header. Files of torch before
    1.6 and other safetensors can only be verified by a known hash.

    Args:
        path: a file of ``torch.save`` or safetensors: a state dict, or a dict that holds one. NumPy
            scalars in it, as in torchreid's checkpoints, become plain numbers and strings.

    Returns:
        dict: the content of the file.

    Raises:
        WeightsError: if the file is missing, damaged, holds code, or is not a dict.
    """
    path = existing(path)
    try:
        foreign = what_it_is(path)
        if foreign is not None:
            raise ForeignError(foreign)
        checkpoint = read_safetensors(path) if is_safetensors(path) else load_saved(path)
    except WeightsError:
        raise
    except ForeignError as error:
        raise WeightsError(f"{path} is not a readable checkpoint, it is {error}.") from error
    except AsksForCodeError as error:
        raise WeightsError(_conversion(path, error.name)) from error
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read: {error.strerror or reason_of(error)}."
        ) from error
    except Exception as error:  # whatever a parser raises on foreign bytes
        raise WeightsError(
            f"{path} is not a readable checkpoint ({reason_of(error)}). It may be damaged or cut "
            "short: fetch or save it again."
        ) from error
    if not isinstance(checkpoint, dict):
        raise WeightsError(
            f"{path} holds a {type(checkpoint).__name__}, expected a state dict or a dict that has "
            "one as 'state_dict'."
        )
    return checkpoint


def existing(path: str | Path) -> Path:
    """Return the path of an existing file, with the home folder expanded.

    Raises:
        WeightsError: if the path does not exist, or is not a plain file.
    """
    path = expanded(path, WeightsError)
    try:
        found, other = path.is_file(), path.exists()
    except (OSError, ValueError) as error:
        raise WeightsError(f"{shown(str(path))} cannot be read: {reason_of(error)}.") from error
    if not found:
        if other:
            kind = "a folder" if path.is_dir() else "a pipe or device"
            raise WeightsError(f"{path} is {kind}: give the path of a checkpoint's file.")
        raise WeightsError(f"No checkpoint at {path}: give the path of an existing file.")
    return path


def _conversion(path: Path, asked: str) -> str:
    """Return a message that names the code a pickle needs, and how to convert it to weights."""
    # A name that Python or a shell could misread is left for the user to fill in.
    name = path.name if re.fullmatch(r"[\w.+=@, -]+", path.name) else "FILE"
    held = "c"
    for key in reversed(STATES[:5]):
        held = f"c.get('{key}', {held})"
    return (
        f"{path} asks for {asked} when it is unpickled, which may run code: it is not loaded. If "
        "you trust where it comes from, convert it there, where the code of its classes can be "
        f'imported: python -c "import torch; '
        f"c = torch.load('{name}', map_location='cpu', weights_only=False); "
        f"c = {held} if isinstance(c, dict) else c; "
        "torch.save(c.state_dict() if hasattr(c, 'state_dict') else c, 'weights.pth')\""
    )


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Read the state dict of a checkpoint file, without running any code in it.

    Raises:
        WeightsError: if :func:`read_checkpoint` rejects the file, or it holds no state dict.
    """
    return tensors_of(read_checkpoint(path), path)


def write_checkpoint(state: dict[str, Any], path: str | Path) -> None:
    """Write a checkpoint atomically: ``path`` is always the old file or the complete new one.

    Args:
        state: tensors and plain Python values, which :func:`read_checkpoint` can read.
        path: the file to write; missing folders are created.

    Raises:
        OutputError: if the disk is full or the folder is not writable; ``path`` is then unchanged.
    """
    with replacing(path) as partial:
        torch.save(state, partial)
