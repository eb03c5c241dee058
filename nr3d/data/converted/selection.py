"""Which tracklets of a folder become part of its dataset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nr3d.data.converted.tree import PlainTracklet


@dataclass(frozen=True)
class Selection:
    """The tracklets that become part of a dataset, and those that do not.

    Args:
        tracklets: the tracklets to use.
        short: tracklets with too few frames.
        lost: identities all of whose tracklets have too few frames.
        alone: identities that are left out since they are left under one camera.
    """

    tracklets: list[PlainTracklet]
    short: list[PlainTracklet]
    lost: list[str]
    alone: list[str]


def select(
    tracklets: Sequence[PlainTracklet], min_frames: int = 1, *, several_cameras: bool = False
) -> Selection:
    """Select the tracklets to use.

    Args:
        tracklets: all tracklets.
        min_frames: least number of frames of a tracklet.
        several_cameras: whether to leave out identities under one camera only; distractors stay.

    Examples:
        >>> short = PlainTracklet("anna", "door", "1", ("1.jpg",))
        >>> long = PlainTracklet("ben", "door", "1", ("1.jpg", "2.jpg"))
        >>> select([short, long], min_frames=2).lost
        ['anna']
    """
    kept = [tracklet for tracklet in tracklets if len(tracklet.frames) >= min_frames]
    short = [tracklet for tracklet in tracklets if len(tracklet.frames) < min_frames]
    left = by_camera(kept)
    lost = sorted({tracklet.identity for tracklet in short} - left.keys() - {""})
    alone = []
    if several_cameras:
        alone = [name for name, cameras in left.items() if name and len(cameras) == 1]
        out = set(alone)
        kept = [tracklet for tracklet in kept if tracklet.identity not in out]
    return Selection(kept, short, lost, alone)


def by_camera(tracklets: Iterable[PlainTracklet]) -> dict[str, dict[str, list[PlainTracklet]]]:
    """Return tracklets by identity and camera."""
    found: dict[str, dict[str, list[PlainTracklet]]] = {}
    for tracklet in tracklets:
        cameras = found.setdefault(tracklet.identity, {})
        cameras.setdefault(tracklet.camera, []).append(tracklet)
    return found
