"""A plain tree of frames, ``identity/camera/tracklet/frame``, as it lies on the disk."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from nr3d.data.frames import in_time_order, is_image

SHAPE = "identity/camera/tracklet/frame"
"""What is expected under the tree's folder."""

_LEVELS = ("identity", "camera", "tracklet", "frame")


@dataclass(frozen=True)
class PlainTracklet:
    """One tracklet's folder.

    Args:
        identity: name of its identity's folder.
        camera: name of its camera's folder.
        name: of its own folder.
        frames: file names in time order.
    """

    identity: str
    camera: str
    name: str
    frames: tuple[str, ...]

    @property
    def place(self) -> str:
        """Its folder's path under the tree's."""
        return f"{self.identity}/{self.camera}/{self.name}"


@dataclass(frozen=True)
class Problem:
    """What does not fit the shape of a tree.

    Args:
        what: of it there is; a plural.
        mend: what to do about it.
        places: paths under the tree's folder.
    """

    what: str
    mend: str
    places: list[str] = field(default_factory=list)


@dataclass
class Tree:
    """What :func:`scan` found.

    Args:
        folder: the tree's.
        tracklets: in the order of their paths.
        problems: kinds of things that do not fit, each with its places.
    """

    folder: Path
    tracklets: list[PlainTracklet]
    problems: list[Problem]


def scan(folder: Path) -> Tree:
    """Look through a tree. Hidden files and folders, and files that are no images, do not count."""
    shallow = Problem(
        "frames in the place of a folder",
        "Put the frames of each tracklet into a folder of their own, even a single one's; or, if "
        "this is the folder of one identity only, give the one that it lies in.",
    )
    deep = Problem(
        "folders in the place of a frame",
        f"Give the folder that holds the identities' folders, or move the frames up to {SHAPE}.",
    )
    empty = {
        level: Problem(f"{plural} without a {below}", f"Remove it, or put its {below}s there.")
        for level, plural, below in (
            (1, "identities", "camera"),
            (2, "cameras", "tracklet"),
            (3, "tracklets", "frame"),
        )
    }
    tracklets: list[PlainTracklet] = []

    def descend(*above: str) -> None:
        level = len(above)
        folders, files = names_in(folder.joinpath(*above))
        frames = [name for name in files if is_image(name)]
        place = "/".join(above)
        if level == 3:
            deep.places.extend(f"{place}/{name}" for name in folders)
            if frames:
                identity, camera, tracklet = above
                tracklets.append(PlainTracklet(identity, camera, tracklet, in_time_order(frames)))
            elif not folders:
                empty[level].places.append(place)
            return
        shallow.places.extend("/".join((*above, name)) for name in frames)
        if level and not folders and not frames:
            empty[level].places.append(place)
        for name in folders:
            descend(*above, name)

    descend()
    problems = [shallow, deep, *empty.values()]
    return Tree(folder, tracklets, [problem for problem in problems if problem.places])


def names_in(folder: str | Path) -> tuple[list[str], list[str]]:
    """Give the names of a folder's folders and of its files, in order, without the hidden ones."""
    with os.scandir(folder) as entries:
        seen = sorted((e.name, e.is_dir()) for e in entries if not e.name.startswith("."))
    return [name for name, is_dir in seen if is_dir], [name for name, is_dir in seen if not is_dir]


def is_name(value: object) -> bool:
    """Whether this can be the name of something in a folder.

    Examples::
        >>> is_name("person_0001"), is_name(".."), is_name("a/b"), is_name(7)
        (True, False, False, False)
    """
    if not isinstance(value, str) or value in ("", ".", "..") or "/" in value or "\0" in value:
        return False
    try:
        return len(os.fsencode(value)) <= 255
    except UnicodeEncodeError:
        return False
