"""SHA-256 of weights files, computed once for each state of a file in a process."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from nr3d.files.file_states import OncePerState

_BLOCK = 1 << 20


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal.

    A file of some hundred megabytes takes a while, so the result is kept until the file changes.

    Args:
        path: path of the file.

    Raises:
        OSError: if the file cannot be read.
    """
    return _digest(_real(path))


def forget_sha256(path: Path) -> None:
    """Make the next :func:`sha256_of` of a file read the file again, changed or not."""
    _digest.forget(_real(path))


def rename_hashed(path: Path, target: Path) -> None:
    """Rename a file whose SHA-256 has been computed, without having to compute it again.

    Args:
        path: path of the file.
        target: its new path; a file there is replaced.

    Raises:
        OSError: if it cannot be renamed.
    """
    before = _real(path)
    path.replace(target)
    _digest.renamed(before, _real(target))


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _compute(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


_digest = OncePerState(_compute)
