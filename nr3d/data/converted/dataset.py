"""Converted datasets: the index beside a plain tree, and the torchreid dataset that it makes."""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nr3d.data.converted.tree import PlainTracklet, Tree, is_name
from nr3d.errors import DataError, shown
from nr3d.files.home import expanded
from nr3d.files.json_files import read_json
from nr3d.files.regular_files import MEBIBYTE
from nr3d.host import torchreid
from nr3d.registry import registered_video_datasets

INDEX = "nr3d-dataset.json"
"""Name of the index in the tree's folder."""

SPLITS = ("train", "query", "gallery")

_LARGEST = 256 * MEBIBYTE
"""Bytes of an index: a frame's name takes some 20."""

_FORMAT = {"format": "nr3d-dataset", "version": 1}


@dataclass(frozen=True)
class Index:
    """Which tracklets of a tree train and test.

    Args:
        tracklets: of each of :data:`SPLITS`.
        made: how it was made, for people to read.
    """

    tracklets: Mapping[str, list[PlainTracklet]]
    made: Mapping[str, Any] = field(default_factory=dict)

    def of(self, *splits: str) -> list[PlainTracklet]:
        """The tracklets of some splits together."""
        return [tracklet for split in splits for tracklet in self.tracklets[split]]

    def tuples(self, folder: Path) -> list[list[tuple[tuple[str, ...], int, int]]]:
        """Give frame paths, pid and camid of each tracklet, split by split, as torchreid does."""
        cameras = _numbered(tracklet.camera for tracklet in self.of(*SPLITS))
        training = _numbered(tracklet.identity for tracklet in self.of("train"))
        testing = _numbered(tracklet.identity for tracklet in self.of("query", "gallery"))

        def of(split: str, pids: Mapping[str, int]) -> list[tuple[tuple[str, ...], int, int]]:
            found = []
            for tracklet in self.tracklets[split]:
                home = folder / tracklet.place
                paths = tuple(f"{home}/{frame}" for frame in tracklet.frames)
                found.append((paths, pids[tracklet.identity], cameras[tracklet.camera]))
            return found

        return [of("train", training), of("query", testing), of("gallery", testing)]

    def text(self) -> str:
        """Give the file's content: JSON with a tracklet a line."""
        head = json.dumps({**_FORMAT, **self.made}, indent=2).removesuffix("\n}")
        lines = [
            json.dumps(
                {
                    "split": split,
                    "identity": tracklet.identity,
                    "camera": tracklet.camera,
                    "tracklet": tracklet.name,
                    "frames": tracklet.frames,
                }
            )
            for split in SPLITS
            for tracklet in self.tracklets[split]
        ]
        body = ",\n    ".join(lines)
        return f'{head},\n  "tracklets": [\n    {body}\n  ]\n}}\n'


def index_mend(folder: Path) -> str:
    """Say how to make a folder's index, in the place of one that is there."""
    replace = " --replace" if (folder / INDEX).exists() else ""
    return f"Make it: nr3d data convert {shlex.quote(str(folder))}{replace}"


def parse_index(folder: Path) -> Index:
    """Read a folder's index.

    Raises:
        DataError: if it is missing or is not such a file; the message says what is wrong only.
    """
    path = folder / INDEX
    content = read_json(path, _LARGEST)
    found = {key: content.get(key) for key in _FORMAT} if isinstance(content, dict) else None
    if found != _FORMAT:
        held = type(content).__name__ if found is None else shown(found)
        raise DataError(f"{path} is {held}, expected {_FORMAT}")
    tracklets: dict[str, list[PlainTracklet]] = {split: [] for split in SPLITS}
    number = 0
    try:
        for entry in content["tracklets"]:
            number += 1
            home, frames = (entry["identity"], entry["camera"], entry["tracklet"]), entry["frames"]
            if not (isinstance(frames, list) and frames and all(map(is_name, (*home, *frames)))):
                raise ValueError(f"{shown(home)} of frames {shown(frames)}")
            tracklets[entry["split"]].append(PlainTracklet(*home, frames=tuple(frames)))
    except (LookupError, TypeError, ValueError) as error:
        reason = shown(error, 250)
        raise DataError(f"{path} cannot be used at tracklet {number} ({reason})") from error
    lacking = [split for split in SPLITS if not tracklets[split]]
    if lacking:
        raise DataError(f"{path} has no tracklet of split {', '.join(lacking)}")
    return Index(tracklets)


def read_index(folder: Path) -> Index:
    """Read a folder's index.

    Raises:
        DataError: if it is missing or is not such a file; the message names it and the mend.
    """
    try:
        return parse_index(folder)
    except DataError as error:
        raise DataError(f"{error}. {index_mend(folder)}") from error.__cause__


class ConvertedDataset(torchreid.data.VideoDataset):  # type: ignore[misc]
    """torchreid's dataset of a converted tree: the frames that its index names.

    Training identities are numbered from 0, and test identities too, in the order of their names;
    cameras likewise.

    Args:
        name: of the tree's folder.
        root: folder that holds it.
        kwargs: torchreid's, for any video dataset.

    Raises:
        DataError: if the index is missing or not usable.
    """

    def __init__(self, name: str, root: str | Path = "", **kwargs: Any) -> None:
        folder = expanded(root, DataError).absolute() / name
        self.dataset_dir = str(folder)
        super().__init__(*read_index(folder).tuples(folder), **kwargs)


def strangers(tree: Tree) -> list[str]:
    """Give the paths of a tree that are no frames, and that nr3d did not put there."""
    return [path for path in tree.skipped if not path.lstrip(".").startswith(INDEX)]


def _numbered(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(sorted(set(names)))}


def refuse_taken(name: str) -> None:
    """Refuse a name that torchreid holds for another dataset.

    Raises:
        DataError: if it does.
    """
    present = registered_video_datasets().get(name)
    if present is not None and not _is_converted(present):
        raise DataError(
            f"torchreid already holds the name {name!r} for something else ({present!r}): rename "
            "the folder, whose name is the dataset's."
        )


def register_converted(root: str | Path, name: str) -> None:
    """Make a converted tree a dataset of torchreid's, by the name of its folder.

    nr3d does so by itself for its own data manager; torchreid's needs this call. A second call
    changes nothing.

    Args:
        root: folder that holds the tree's folder.
        name: the tree's folder.

    Raises:
        DataError: if the folder has no index, or torchreid holds the name for something else.

    Examples::

        nr3d.data.register_converted("reid-data", "shop")
        torchreid.data.VideoDataManager(root="reid-data", sources="shop")
    """
    folder = expanded(root, DataError) / name
    if not (folder / INDEX).is_file():
        raise DataError(f"There is no {folder / INDEX}. {index_mend(folder)}")
    refuse_taken(name)
    if name not in registered_video_datasets():
        torchreid.data.register_video_dataset(name, functools.partial(ConvertedDataset, name))


def is_converted(name: str) -> bool:
    """Whether torchreid holds a name for a converted dataset."""
    return _is_converted(registered_video_datasets().get(name))


def _is_converted(builder: object) -> bool:
    return isinstance(builder, functools.partial) and builder.func is ConvertedDataset
