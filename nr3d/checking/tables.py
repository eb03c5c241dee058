"""The MATLAB tables that datasets come with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nr3d.checking.findings import Report
from nr3d.data.mat import read_mat
from nr3d.errors import DataError

_LARGEST = 2**53
"""Up to here doubles are whole numbers without holes."""


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
    path = report.folder / relative
    try:
        table = read_mat(path, key)
    except DataError as error:
        report.add("error", str(error), mend)
        return None
    fits = table.ndim == 2 and all(
        size == wanted or (wanted is None and size)
        for size, wanted in zip(table.shape, shape, strict=False)
    )
    if fits:
        # Whole numbers of MATLAB are doubles; beyond 2^53, and where they are no numbers at all,
        # the comparison is false.
        whole = (table == np.floor(table)) & (table >= -_LARGEST) & (table <= _LARGEST)
        if whole.all():
            return np.asarray(table, dtype=np.int64)
        row, column = np.argwhere(~whole)[0].tolist()
        held = f", with {table[row, column]} in row {row + 1}"
    else:
        held = ""
    expected = " × ".join("any" if wanted is None else str(wanted) for wanted in shape)
    report.add(
        "error",
        f"{key} in {path} is {table.dtype} of shape {table.shape}{held}, expected whole numbers, "
        f"{expected}",
        mend,
    )
    return None
