"""Places of single entries in their row, as in a stable sort."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Block = npt.NDArray[Any] | Tensor
"""Some rows of distances, (b, G): an array, or a tensor on any device."""

# Number of entries from which one sort of a row costs less than a comparison with each entry.
_MANY = 256


def places(
    block: Block, offsets: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Count the entries of a row that come before some of its entries.

    An entry comes before another one if it is smaller, or as large and further left.

    Only a few entries of a row matter: a person's own, among thousands. On the CPU it is fastest to
    compare the row with each of them; on another device, all rows are sorted at once.

    Args:
        block: distances (b, G), without NaN.
        offsets: places where each row's entries begin and end in ``columns``, (b + 1,).
        columns: columns of the entries, row after row, (P,).

    Returns:
        numpy.ndarray: places (P,), 0 for the first of a row.

    Examples:
        >>> block = np.array([[0.5, 0.1, 0.5], [3.0, 2.0, 1.0]])
        >>> places(block, np.array([0, 2, 3]), np.array([0, 2, 0]))
        array([1, 2, 2])
    """
    if isinstance(block, Tensor):
        order = block.argsort(dim=1, stable=True)
        count = torch.arange(block.shape[1], device=block.device).expand_as(order)
        place_of = torch.empty_like(order).scatter_(1, order, count)
        owner = np.repeat(np.arange(len(block)), np.diff(offsets))
        asked = (torch.from_numpy(each).to(block.device) for each in (owner, columns))
        return place_of[tuple(asked)].cpu().numpy()
    found = np.empty(len(columns), np.int64)
    before = np.empty(block.shape[1], np.bool_)
    for number, row in enumerate(block):
        part = slice(offsets[number], offsets[number + 1])
        asked_columns = columns[part]
        if len(asked_columns) < _MANY:
            found[part] = _compared(np.ascontiguousarray(row), asked_columns, before)
        else:
            place = np.empty(len(row), np.int64)
            place[np.argsort(row, kind="stable")] = np.arange(len(row))
            found[part] = place[asked_columns]
    return found


def _compared(
    row: npt.NDArray[Any], columns: npt.NDArray[np.int64], before: npt.NDArray[np.bool_]
) -> list[int]:
    found = []
    for column in columns.tolist():
        value = row[column]
        np.less_equal(row[:column], value, out=before[:column])
        np.less(row[column:], value, out=before[column:])
        found.append(int(np.count_nonzero(before)))
    return found
