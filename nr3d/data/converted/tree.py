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
        skipped: places of files and folders that do not count.
    """

    folder: Path
    tracklets: list[PlainTracklet]
    problems: list[Problem]
    skipped: list[str]


def scan(folder: Path) -> Tree:
    """Look through a tree.

    What :func:`is_litter` says, and files that are not named as images, do not count.
    """
    shallow = Problem(
        "frames in the place of a folder",
        "Put the frames of each tracklet into a folder of their own, even a single one's; or, if "
        "this is the folder of one identity only, give the one that it lies in.",
    )
    deep = Problem(
        "folders in the place of a frame",
        f"Give the folder that holds the identities' folders, or move the frames up to {SHAPE}.",
    )
    special = Problem(
        "names of frames that are no files, but pipes, devices or broken links",
        "Remove them, or put the frames there.",
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
    skipped: list[str] = []

    def descend(*above: str) -> None:
        level = len(above)
        found = _look_into(folder.joinpath(*above))
        place = "/".join(above)
        folders = [name for name in found.folders if not is_litter(name)]
        frames = [name for name in found.files if is_image(name)]
        no_files = [name for name in found.neither if is_image(name)]
        special.places.extend("/".join((*above, name)) for name in no_files)
        used = {*folders, *frames, *no_files}
        others = sorted({*found.folders, *found.files, *found.neither} - used)
        skipped.extend("/".join((*above, name)) for name in others)
        if level == 3:
            deep.places.extend(f"{place}/{name}" for name in folders)
            if frames:
                identity, camera, tracklet = above
                tracklets.append(PlainTracklet(identity, camera, tracklet, in_time_order(frames)))
            elif not folders and not no_files:
                empty[level].places.append(place)
            return
        shallow.places.extend("/".join((*above, name)) for name in frames)
        if level and not folders and not frames and not no_files:
            empty[level].places.append(place)
        for name in folders:
            descend(*above, name)

    descend()
    problems = [shallow, deep, special, *empty.values()]
    return Tree(folder, tracklets, [problem for problem in problems if problem.places], skipped)


_LITTER = {
    *("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "$recycle.bin"),
    *("@eadir", "#recycle", "@recycle", "lost+found", "system volume information"),
}
"""What systems and storages put into folders, in small letters."""


def is_litter(name: str) -> bool:
    """Whether something in a folder is hidden, or put there by a system for its own use.

    Examples::
        >>> [name for name in (".DS_Store", "__MACOSX", "Thumbs.db", "0001") if is_litter(name)]
        ['.DS_Store', '__MACOSX', 'Thumbs.db']
    """
    return name.startswith(".") or name.casefold() in _LITTER


@dataclass
class _Listing:
    """What is in a folder, by kind and in order; ``neither`` are no folders and no files."""

    folders: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    neither: list[str] = field(default_factory=list)


def _look_into(folder: str | Path) -> _Listing:
    found = _Listing()
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            try:
                is_dir, is_file = entry.is_dir(), entry.is_file()
            except OSError:  # such as a link to itself
                is_dir = is_file = False
            kind = found.folders if is_dir else found.files if is_file else found.neither
            kind.append(entry.name)
    return found


def names_in(folder: str | Path) -> tuple[list[str], list[str]]:
    """Give the names of a folder's folders and of all else, in order, without the hidden ones."""
    found = _look_into(folder)
    others = sorted([*found.files, *found.neither])
    folders, others = (
        [name for name in names if not name.startswith(".")] for names in (found.folders, others)
    )
    return folders, others


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
