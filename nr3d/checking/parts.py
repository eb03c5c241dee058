"""The three parts of a dataset, as torchreid holds them."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

Tracklets: TypeAlias = list[tuple[tuple[str, ...], int, int]]
"""The frames' paths, the person and the camera of each, counted from 0."""


class Parts(NamedTuple):
    """A dataset's tracklets.

    Args:
        train: to train on; people numbered from 0.
        query: looked for in the gallery.
        gallery: looked among; people numbered as the queries'.
    """

    train: Tracklets
    query: Tracklets
    gallery: Tracklets
