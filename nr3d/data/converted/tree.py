"""A plain tree of frames, ``identity/camera/tracklet/frame``, as it lies on the disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from nr3d.data.folders import is_litter, look_into
from nr3d.data.frames import in_time_order, is_image

SHAPE = "identity/camera/tracklet/frame"
"""Shape that is expected under the folder of a tree."""


@dataclass(frozen=True)
class PlainTracklet:
    """A tracklet of a tree, or of images whose names say whom they show.

    Args:
        identity: name of the identity, in a tree that of its folder; empty for a distractor, which
            shows nobody in particular.
        camera: name of the camera, in a tree that of its folder.
        name: name of the tracklet, in a tree that of its own folder; it may be empty for images.
        frames: names of the frames' files, in time order.
        own_folder: whether the frames lie in a folder of the tracklet, as in a tree. If False,
            ``frames`` are paths under the folder of the dataset.
    """

    identity: str
    camera: str
    name: str
    frames: tuple[str, ...]
    own_folder: bool = True

    @property
    def place(self) -> str:
        """Label of the tracklet; in a tree the path of its folder under the tree's."""
        return "/".join(filter(None, (self.identity, self.camera, self.name)))

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of the frames under the folder of the dataset, in time order."""
        if not self.own_folder:
            return self.frames
        place = self.place
        return tuple(f"{place}/{frame}" for frame in self.frames)


@dataclass(frozen=True)
class Problem:
    """One kind of deviation from the shape of a tree.

    Args:
        what: name of the items found, in the plural.
        remedy: advice on how to solve it.
        places: paths under the folder of the tree.
    """

    what: str
    remedy: str
    places: list[str] = field(default_factory=list)


@dataclass
class Tree:
    """The content of a tree, as :func:`scan` finds it.

    Args:
        folder: folder of the tree.
        tracklets: the tracklets, in the order of their paths.
        problems: the kinds of deviations from the shape, each with its places.
        skipped: paths of files and folders that are ignored.
    """

    folder: Path
    tracklets: list[PlainTracklet]
    problems: list[Problem]
    skipped: list[str]


def scan(folder: Path) -> Tree:
    """Return the content of a tree.

    Litter, as :func:`nr3d.data.folders.is_litter` defines it, and files not named as images are
    ignored.

    Args:
        folder: folder of the tree.
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
        found = look_into(folder.joinpath(*above))
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
