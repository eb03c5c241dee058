"""Who is on each tracklet of a set, and under which camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Labels:
    """Person and camera of each tracklet of a query or gallery set, both (N,).

    Example:
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
        """Make the arrays from sequences or arrays of ints."""
        return cls(np.asarray(pids, np.int64), np.asarray(camids, np.int64))

    def __len__(self) -> int:
        """Give the number of tracklets."""
        return len(self.pids)

    def __add__(self, other: Labels) -> Labels:
        """Put the other's tracklets behind one's own."""
        return Labels(
            np.concatenate([self.pids, other.pids]), np.concatenate([self.camids, other.camids])
        )

    def __getitem__(self, which: npt.NDArray[np.int64] | npt.NDArray[np.bool_] | slice) -> Labels:
        """Give the tracklets at some places."""
        return Labels(self.pids[which], self.camids[which])
