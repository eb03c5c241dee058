"""The index of a converted dataset: its training, query and gallery tracklets."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nr3d.data.converted.tree import PlainTracklet, Tree
from nr3d.data.datasets.parts import SPLITS, Parts
from nr3d.data.folders import is_name
from nr3d.errors import DataError, shown
from nr3d.files.json_files import read_json
from nr3d.files.regular_files import MEBIBYTE

INDEX = "nr3d-dataset.json"
"""Name of the index, in the folder of the tree."""

_LARGEST = 256 * MEBIBYTE
"""Largest size of an index, in bytes; the name of a frame takes about 20."""

_FORMAT = {"format": "nr3d-dataset", "version": 1}


@dataclass(frozen=True)
class Index:
    """The tracklets of a tree for training and testing.

    Args:
        tracklets: tracklets of each of :data:`nr3d.data.datasets.parts.SPLITS`.
        made: description of how the index was made, for people to read.
    """

    tracklets: Mapping[str, list[PlainTracklet]]
    made: Mapping[str, Any] = field(default_factory=dict)

    def of(self, *splits: str) -> list[PlainTracklet]:
        """Return the tracklets of some splits together."""
        return [tracklet for split in splits for tracklet in self.tracklets[split]]

    def parts(self, folder: Path) -> Parts:
        """Return frame paths, pid and camid of each tracklet, as torchreid's datasets hold them.

        Args:
            folder: folder of the tree.
        """
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

        return Parts(of("train", training), of("query", testing), of("gallery", testing))

    def text(self) -> str:
        """Return the content of the file: JSON with one tracklet a line."""
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


def index_remedy(folder: Path) -> str:
    """Return advice on how to make the index of a folder, or to replace it."""
    replace = " --replace" if (folder / INDEX).exists() else ""
    return f"Make it: nr3d data convert {shlex.quote(str(folder))}{replace}"


def parse_index(folder: Path) -> Index:
    """Read the index of a folder.

    Raises:
        DataError: if it is missing or is no index; the message says what is wrong, not what to do.
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
    """Read the index of a folder.

    Raises:
        DataError: if it is missing or is no index; the message names it and says what to do.
    """
    try:
        return parse_index(folder)
    except DataError as error:
        raise DataError(f"{error}. {index_remedy(folder)}") from error.__cause__


def strangers(tree: Tree) -> list[str]:
    """Return the paths in a tree that are no frames and that nr3d did not put there."""
    return [path for path in tree.skipped if not path.lstrip(".").startswith(INDEX)]


def _numbered(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(sorted(set(names)))}
