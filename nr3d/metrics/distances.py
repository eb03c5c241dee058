"""Distances between features, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

METRICS = ("euclidean", "cosine")

_PAIRS_AT_ONCE = 8192


def parts(rows: int, height: int) -> Iterator[slice]:
    """Yield consecutive blocks of rows as slices.

    Args:
        rows: number of rows.
        height: number of rows of a block; the last may have fewer.

    Examples:
        >>> list(parts(5, 2))
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start in range(0, rows, height):
        yield slice(start, min(start + height, rows))


class Distances:
    """Distances between two sets of features, computed only when they are read.

    They are the distances of ``torchreid.metrics.compute_distance_matrix``: for ``'euclidean'`` the
    squared distance |a|² + |b|² - 2 a·b, which rounding can make slightly negative; for
    ``'cosine'`` 1 - a·b of features of length 1.

    Args:
        one: features of the rows, (N, D).
        other: features of the columns, (M, D), on the same device.
        metric: ``'euclidean'`` or ``'cosine'``.

    Attributes:
        shape: number of rows and of columns, (N, M).

    Raises:
        ValueError: if the metric is unknown.

    Examples:
        >>> distances = Distances(torch.zeros(1, 2), torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
        >>> distances.rows(slice(0, 1))
        tensor([[25.,  1.]])
        >>> distances.at(np.array([0, 0]), np.array([1, 0]))
        array([ 1., 25.], dtype=float32)
    """

    def __init__(self, one: Tensor, other: Tensor, metric: str = "euclidean") -> None:
        if metric not in METRICS:
            raise ValueError(
                f"There is no distance metric {metric!r}: choose one of {', '.join(METRICS)}."
            )
        self.shape = len(one), len(other)
        self.squared = metric == "euclidean"
        if self.squared:
            self.one_squares = one.square().sum(dim=1)  # (N,)
            self.other_squares = other.square().sum(dim=1)  # (M,)
        else:
            one, other = F.normalize(one, dim=1), F.normalize(other, dim=1)
        self.one, self.other = one, other
        self._buffer = one.new_empty(0)

    def rows(self, part: slice) -> Tensor:
        """Return some rows, (b, M), which the next call overwrites."""
        one = self.one[part]
        # One buffer for all blocks, since the pages of a fresh one would have to be mapped.
        if len(self._buffer) < len(one):
            self._buffer = one.new_empty(len(one), self.shape[1])
        block = self._buffer[: len(one)]
        if self.squared:
            torch.add(self.one_squares[part, None], self.other_squares, out=block)
            return block.addmm_(one, self.other.T, alpha=-2)
        return torch.mm(one, self.other.T, out=block).neg_().add_(1)

    def at(
        self, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Return the single distances between rows[p] and columns[p], (P,)."""
        found = np.empty(len(rows), np.float32)
        for part in parts(len(rows), _PAIRS_AT_ONCE):
            row = torch.from_numpy(rows[part]).to(self.one.device)
            column = torch.from_numpy(columns[part]).to(self.one.device)
            dot = torch.linalg.vecdot(self.one[row], self.other[column])
            if self.squared:
                value = self.one_squares[row] + self.other_squares[column] - 2 * dot
            else:
                value = 1 - dot
            found[part] = value.cpu().numpy()
        return found
