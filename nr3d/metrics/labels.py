"""The person and the camera of each tracklet of a set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_MOST = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Labels:
    """Person and camera of each tracklet of a query or gallery set, (N,) each.

    Examples:
        >>> gallery = Labels.of([4, 7], [1, 2])
        >>> len(gallery + Labels.of([4], [3]))
        3
        >>> gallery[gallery.camids == 2].pids
        array([7])
    """

    pids: npt.NDArray[np.int64]
    camids: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls,
        pids: Sequence[int] | npt.NDArray[Any],
        camids: Sequence[int] | npt.NDArray[Any],
    ) -> Labels:
        """Return labels made from sequences or arrays of ints.

        Raises:
            ValueError: if a value is no 64-bit integer, or the shapes are not both (N,).
        """
        labels = cls(_whole("persons", pids), _whole("cameras", camids))
        if labels.pids.ndim != 1 or labels.pids.shape != labels.camids.shape:
            raise ValueError(
                f"the labels have shapes {labels.pids.shape} and {labels.camids.shape}, expected "
                "(N,) both"
            )
        return labels

    def __len__(self) -> int:
        """Return the number of tracklets."""
        return len(self.pids)

    def __add__(self, other: Labels) -> Labels:
        """Return the tracklets followed by those of the other set."""
        return Labels(
            np.concatenate([self.pids, other.pids]), np.concatenate([self.camids, other.camids])
        )

    def __getitem__(self, which: npt.NDArray[np.int64] | npt.NDArray[np.bool_] | slice) -> Labels:
        """Return some of the tracklets."""
        return Labels(self.pids[which], self.camids[which])


def _whole(what: str, values: Sequence[int] | npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return integers as int64; other numbers, which would be truncated or wrap, are refused."""
    given = np.asarray(values)
    if given.size == 0:
        return given.astype(np.int64)
    if given.dtype.kind not in "iu" or (given.dtype.kind == "u" and given.max() > _MOST):
        raise ValueError(f"{what} are {given.dtype} numbers, expected whole ones of 64 bits")
    return given.astype(np.int64)
