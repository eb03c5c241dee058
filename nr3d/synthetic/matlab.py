"""Tables in MATLAB's format, whose bytes depend on the table only."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

_HEADER = b"MATLAB 5.0 MAT-file, written by nr3d"


def write_mat(path: Path, key: str, table: np.ndarray) -> None:
    """Write an array in MATLAB 5 format, with a fixed header because SciPy's holds the time."""
    from scipy.io import savemat

    buffer = io.BytesIO()
    savemat(buffer, {key: table})
    path.write_bytes(_HEADER.ljust(116) + buffer.getvalue()[116:])
