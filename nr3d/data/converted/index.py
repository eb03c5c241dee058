"""The index of a converted dataset: its training, query and gallery tracklets."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nr3d.data.converted.patterns import Pattern, check_by, pattern_of
from nr3d.data.converted.tree import PlainTracklet
from nr3d.data.datasets.parts import (
    DISTRACTOR,
    PURPOSES,
    SPLITS,
    GivenOrder,
    Parts,
    PseudoParts,
)
from nr3d.data.folders import is_name
from nr3d.errors import DataError, shown
from nr3d.files.json_files import read_json
from nr3d.files.regular_files import MEBIBYTE

INDEX = "nr3d-dataset.json"
"""Name of the index, in the folder of the tree."""

_LARGEST = 256 * MEBIBYTE
"""Largest size of an index, in bytes; the name of a frame takes about 20."""

_FORMATS: Mapping[bool, Mapping[str, Any]] = {
    False: {"format": "nr3d-dataset", "version": 1},
    True: {"format": "nr3d-images", "version": 1},
}
"""Heads of an index, by whether it is one of images with a pattern of their names.

In that one, ``frames`` are paths under the folder, and an empty ``identity`` is a distractor's.
"""

_USUAL = {"min_frames": 1, "seed": 0, "train_share": 0.5}
"""Defaults of options of :func:`nr3d.data.convert` that an index holds."""


@dataclass(frozen=True)
class Index:
    """The tracklets of a tree, or of a folder of images, for training and testing.

    Args:
        tracklets: tracklets of each of :data:`nr3d.data.datasets.parts.SPLITS`.
        made: description of how the index was made: the options of
            :func:`nr3d.data.convert`. Those of images have a ``pattern``.
    """

    tracklets: Mapping[str, list[PlainTracklet]]
    made: Mapping[str, Any] = field(default_factory=dict)

    @property
    def purpose(self) -> str:
        """What the dataset is for, one of :data:`nr3d.data.datasets.parts.PURPOSES`."""
        return str(self.made.get("purpose", "both"))

    @property
    def min_frames(self) -> int:
        """Least number of frames of a tracklet."""
        return int(self.made.get("min_frames", 1))

    @property
    def pattern(self) -> Pattern | None:
        """Pattern of the images' names; None for a plain tree."""
        text = self.made.get("pattern")
        return None if text is None else pattern_of(str(text))

    @property
    def pseudo(self) -> bool:
        """Whether the tracklets are pseudo-tracklets."""
        return "pattern" in self.made and self.made.get("by") != "tracklet"

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
        testing = _numbered(
            tracklet.identity for tracklet in self.of("query", "gallery") if tracklet.identity
        )
        testing[""] = DISTRACTOR

        def of(split: str, pids: Mapping[str, int]) -> list[tuple[tuple[str, ...], int, int]]:
            found = []
            for tracklet in self.tracklets[split]:
                paths = tuple(f"{folder}/{file}" for file in tracklet.files)
                paths = paths if tracklet.own_folder else GivenOrder(paths)
                found.append((paths, pids[tracklet.identity], cameras[tracklet.camera]))
            return found

        kind = PseudoParts if self.pseudo else Parts
        return kind(of("train", training), of("query", testing), of("gallery", testing))

    def text(self) -> str:
        """Return the content of the file: JSON with one tracklet a line."""
        head = {**_FORMATS["pattern" in self.made], **self.made}
        opened = json.dumps(head, indent=2).removesuffix("\n}")
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
        return f'{opened},\n  "tracklets": [\n    {body}\n  ]\n}}\n'


def index_remedy(folder: Path, made: Mapping[str, Any] | None = None) -> str:
    """Return advice on how to make the index of a folder, or to replace it.

    Args:
        folder: folder of the dataset.
        made: options of the index that is there, which are given again. Default is what can be
            read of them.
    """
    made = options_in(folder) if made is None else made
    words = [str(folder)]
    try:
        by = check_by(made.get("by", ""), pattern_of(made.get("pattern", "")))
        words += ["--pattern", made["pattern"], "--by", by]
    except (TypeError, ValueError):
        if is_of_images(made):
            words += ["--pattern", "PATTERN"]
    for key, usual in _USUAL.items():
        value = made.get(key, usual)
        if type(value) is type(usual) and value != usual:
            words += [f"--{key.replace('_', '-')}", str(value)]
    if made.get("purpose", "both") in ("train", "test"):
        words.append(f"--{made['purpose']}-only")
    if (folder / INDEX).exists():
        words.append("--replace")
    return f"Make it: nr3d data convert {shlex.join(words)}"


def options_in(folder: Path) -> Mapping[str, Any]:
    """Return the options in the index of a folder, even of one that cannot be used.

    They are empty where there is no index, or none that is JSON.
    """
    try:
        content = read_json(folder / INDEX, _LARGEST)
    except DataError:
        return {}
    return content if isinstance(content, dict) else {}


def is_of_images(options: Mapping[str, Any]) -> bool:
    """Return whether the options in an index say that it is one of images."""
    return bool(options.get("format") == _FORMATS[True]["format"])


def parse_index(folder: Path) -> Index:
    """Read the index of a folder.

    Raises:
        DataError: if it is missing or is no index; the message says what is wrong, not what to do.
    """
    path = folder / INDEX
    content = read_json(path, _LARGEST)
    keys = ("format", "version")
    found = {key: content.get(key) for key in keys} if isinstance(content, dict) else None
    if found not in _FORMATS.values():
        held = type(content).__name__ if found is None else shown(found)
        raise DataError(f"{path} is {held}, expected {' or '.join(map(str, _FORMATS.values()))}")
    made = {key: value for key, value in content.items() if key not in (*keys, "tracklets")}
    tree = found == _FORMATS[False]
    tracklets: dict[str, list[PlainTracklet]] = {split: [] for split in SPLITS}
    number: int | None = None
    try:
        if tree:
            made.pop("pattern", None)
        else:
            by = made["by"]
            if check_by(by, pattern_of(made["pattern"])) != by:
                raise ValueError(f"by {shown(by)}")
        if made.get("purpose", "both") not in PURPOSES:
            raise ValueError(f"purpose {shown(made['purpose'])}")
        if type(made.get("min_frames", 1)) is not int:
            raise ValueError(f"min_frames {shown(made['min_frames'])}")
        number = 0
        for entry in content["tracklets"]:
            number += 1
            tracklet = _tracklet(entry, tree)
            if not tracklet.identity and entry["split"] != "gallery":
                raise ValueError(f"a distractor in {shown(entry['split'])}")
            tracklets[entry["split"]].append(tracklet)
    except (LookupError, TypeError, ValueError) as error:
        reason = shown(error, 250)
        where = "" if number is None else f" at tracklet {number}"
        raise DataError(f"{path} cannot be used{where} ({reason})") from error
    index = Index(tracklets, made)
    lacking = [split for split in PURPOSES[index.purpose] if not tracklets[split]]
    if lacking:
        raise DataError(f"{path} has no tracklet of split {', '.join(lacking)}")
    extra = [split for split in SPLITS if tracklets[split] and split not in PURPOSES[index.purpose]]
    if extra:
        raise DataError(
            f"{path} has tracklets of split {', '.join(extra)}, and its purpose is {index.purpose}"
        )
    return index


def _tracklet(entry: Mapping[str, Any], tree: bool) -> PlainTracklet:
    """Return the tracklet of an entry of an index, and refuse names that no file can have.

    Raises:
        LookupError, TypeError, ValueError: if the entry is none of a tracklet.
    """
    home, frames = (entry["identity"], entry["camera"], entry["tracklet"]), entry["frames"]
    fits = isinstance(frames, list) and bool(frames)
    if tree:
        fits = fits and all(map(is_name, (*home, *frames)))
    else:
        fits = fits and bool(home[1]) and all(isinstance(name, str) for name in (*home, *frames))
        fits = fits and all(is_name(part) for frame in frames for part in frame.split("/"))
    if not fits:
        raise ValueError(f"{shown(home)} of frames {shown(frames)}")
    return PlainTracklet(*home, frames=tuple(frames), own_folder=tree)


def read_index(folder: Path) -> Index:
    """Read the index of a folder.

    Raises:
        DataError: if it is missing or is no index; the message names it and says what to do.
    """
    try:
        return parse_index(folder)
    except DataError as error:
        raise DataError(f"{error}. {index_remedy(folder)}") from error.__cause__


def strangers(skipped: Iterable[str]) -> list[str]:
    """Return those of the paths that are ignored in a folder that nr3d did not put there."""
    return [path for path in skipped if not path.lstrip(".").startswith(INDEX)]


def _numbered(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(sorted(set(names)))}
