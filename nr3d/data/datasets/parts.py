"""The three parts of a dataset, as torchreid holds them."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class GivenOrder(tuple[str, ...]):
    """Paths of a tracklet's frames whose time order is known, and not to be read from the names.

    Examples:
        >>> from nr3d.data import in_time_order
        >>> in_time_order(GivenOrder(["day2/1.png", "day3/0.png"]))
        ('day2/1.png', 'day3/0.png')
    """

    __slots__ = ()


Tracklets: TypeAlias = list[tuple[tuple[str, ...], int, int]]
"""Paths of the frames, identity and camera of each tracklet; cameras are numbered from 0."""

PSEUDO = "pseudo-tracklets"
"""Kind of tracklets that were put together from single images of a person in one camera."""

SINGLE = "single images"
"""Kind of tracklets that are one image each, as a dataset of images is tested."""

KINDS = {
    PSEUDO: "single images of one person in one camera, put together",
    SINGLE: "each a tracklet of one frame, in the dataset's own queries and gallery",
}
"""Descriptions of the kinds of tracklets that are no video."""

NO_VIDEO = "figures on them do not compare with those on MARS or another dataset of video"
"""What all these kinds have in common."""

DISTRACTOR = -1
"""Identity of a gallery tracklet that shows nobody in particular; it is never trained on."""

SPLITS = ("train", "query", "gallery")
"""Names of the parts, in torchreid's order."""

PURPOSES = {"both": SPLITS, "train": ("train",), "test": ("query", "gallery")}
"""Splits of a dataset by what it is for."""


class Parts(NamedTuple):
    """The tracklets of a dataset.

    Args:
        train: tracklets to train on; identities are numbered from 0.
        query: tracklets that are searched for in the gallery.
        gallery: tracklets that are searched; identities are numbered as those of the queries.
    """

    train: Tracklets
    query: Tracklets
    gallery: Tracklets


class PseudoParts(Parts):
    """The tracklets of a dataset that are pseudo-tracklets: images of a person in one camera.

    Figures on them do not compare with those on MARS or another dataset of video.
    """

    __slots__ = ()
