"""The MATLAB tables that datasets come with."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nr3d.data.checking.findings import Report


def read_table(
    report: Report, relative: str, key: str, shape: tuple[int | None, int | None], mend: str
) -> npt.NDArray[np.int64] | None:
    """Read a table of whole numbers, or report why it cannot be.

    Args:
        report: of the dataset; takes the errors.
        relative: the file's path under the dataset's folder.
        key: name of the table in the file.
        shape: rows and columns; None for any number from 1.
        mend: what to do where it cannot be read.
    """
    from scipy.io import loadmat

    path = report.folder / relative
    try:
        content: dict[str, Any] = loadmat(path)
    # scipy raises what its parser stumbles over, and all sorts of that on a damaged file.
    except Exception as error:  # noqa: BLE001
        report.add("error", f"{path} cannot be read as a MATLAB file ({error})", mend)
        return None
    table = content.get(key)
    if table is None:
        held = ", ".join(name for name in content if not name.startswith("__")) or "nothing"
        report.add("error", f"{path} holds {held}, expected {key}", mend)
        return None
    fits = table.ndim == 2 and all(
        size == wanted or (wanted is None and size)
        for size, wanted in zip(table.shape, shape, strict=False)
    )
    if not fits or table.dtype.kind not in "iuf" or (table != np.floor(table)).any():
        expected = " × ".join("any" if wanted is None else str(wanted) for wanted in shape)
        report.add(
            "error",
            f"{key} in {path} is {table.dtype} of shape {table.shape}, expected whole numbers, "
            f"{expected}",
            mend,
        )
        return None
    return np.asarray(table, dtype=np.int64)
