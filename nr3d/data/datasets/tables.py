"""The MATLAB tables that datasets come with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nr3d.data.datasets.findings import Report
from nr3d.data.datasets.mat import read_mat
from nr3d.errors import DataError

_LARGEST = 2**53
"""Largest number up to which every whole number is a double."""


def read_table(
    report: Report, relative: str, key: str, shape: tuple[int | None, int | None], remedy: str
) -> npt.NDArray[np.int64] | None:
    """Read a table of whole numbers, or report why it cannot be read.

    Args:
        report: report of the dataset, which takes the errors.
        relative: path of the file under the dataset's folder.
        key: name of the table in the file.
        shape: numbers of rows and columns; None stands for any number from 1.
        remedy: advice for when it cannot be read.

    Returns:
        array: the table, of the given shape; None if an error was reported.
    """
    path = report.folder / relative
    try:
        table = read_mat(path, key)
    except DataError as error:
        report.add("error", str(error), remedy)
        return None
    fits = table.ndim == 2 and all(
        size == wanted or (wanted is None and size)
        for size, wanted in zip(table.shape, shape, strict=False)
    )
    if fits:
        # MATLAB keeps whole numbers as doubles. The comparison is false beyond 2^53, and for NaN.
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
        remedy,
    )
    return None
