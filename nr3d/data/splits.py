"""The random half splits of PRID2011 and iLIDS-VID: reading them, and making PRID2011's."""

from __future__ import annotations

import json
import logging
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nr3d.data.converted.tree import is_name
from nr3d.data.frames import is_image
from nr3d.errors import ConfigError, DataError
from nr3d.files.atomic import replacing
from nr3d.files.home import expanded
from nr3d.files.json_files import read_json
from nr3d.files.new_files import refuse_over, write_new
from nr3d.files.regular_files import MEBIBYTE

logger = logging.getLogger(__name__)

SPLIT_FILES = {"prid2011": "prid2011/splits_prid2011.json", "ilidsvid": "ilids-vid/splits.json"}
"""torchreid's files of splits, under its root."""

ILIDSVID_TABLE = "train-test people splits/train_test_splits_ilidsvid.mat"
"""What torchreid makes iLIDS-VID's file of splits from, in the dataset's folder."""

PRID2011_CAMERAS = ("prid_2011/multi_shot/cam_a", "prid_2011/multi_shot/cam_b")
"""The cameras' folders in PRID2011's."""

PRID2011_SHARED = 200
"""People under both cameras. From the next number on a name stands for someone else under each."""

PRID2011_MIN_FRAMES = 22
"""Frames that a person must have under each camera: more than 21, as in the published protocol."""

_LARGEST = 64 * MEBIBYTE
"""Bytes of a file of splits; the published ones have less than one."""

Split = dict[str, list[str]]
"""The ``train`` and the ``test`` people's folders."""


def read_splits(name: str, root: str | Path) -> list[Split]:
    """Read a dataset's splits.

    Args:
        name: ``'prid2011'`` or ``'ilidsvid'``.
        root: folder that holds the datasets' folders.

    Raises:
        ConfigError: for a dataset without splits.
        DataError: if the file is missing or is not such a file; the message names it and the mend.
    """
    if name not in SPLIT_FILES:
        raise ConfigError(
            f"{name!r} has no splits to choose from, expected one of {', '.join(SPLIT_FILES)}"
        )
    try:
        return parse_splits(expanded(root, DataError) / SPLIT_FILES[name])
    except DataError as error:
        raise DataError(f"{error}. {splits_mend(name, root)}") from error.__cause__


def parse_splits(path: Path) -> list[Split]:
    """Read a file of splits.

    Raises:
        DataError: if it is missing or is not such a file; the message says what is wrong only.
    """
    splits = read_json(path, _LARGEST)
    if not (isinstance(splits, list) and splits and all(map(_is_split, splits))):
        raise DataError(
            f"{path} does not hold a list of splits, each with the people of 'train' and 'test'"
        )
    return splits


def _is_split(split: Any) -> bool:
    return isinstance(split, dict) and all(
        isinstance(split.get(part), list) and split[part] and all(map(is_name, split[part]))
        for part in ("train", "test")
    )


def write_splits(path: Path, splits: Sequence[Split]) -> None:
    """Write a file of splits as torchreid does, for it and for who reads them; nothing if it can't.

    The dataset may be in a place that only others write to, and is as good without.
    """
    try:
        with replacing(path) as partial:
            text = json.dumps(list(splits), indent=4, separators=(",", ": "))
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        logger.debug("The splits are not kept in %s: %s", path, error)


def splits_mend(name: str, root: str | Path) -> str:
    """Say how to come by a dataset's file of splits, in the place of one that is there."""
    path = expanded(root, DataError) / SPLIT_FILES[name]
    if name == "prid2011":
        replace = " --replace" if path.exists() else ""
        command = f"nr3d data splits prid2011 --root {shlex.quote(str(root))} --seed 0{replace}"
        return f"Make it: {command}"
    made = f"torchreid makes it from {ILIDSVID_TABLE!r} when it next loads the dataset."
    return f"Delete it: {made}" if path.exists() else f"Load the dataset: {made}"


def half_splits(people: Sequence[str], seed: int, count: int = 10) -> list[Split]:
    """Draw random splits: half of the people train, the others test; of an odd number, one fewer.

    Args:
        people: their folders' names.
        seed: same seed, same splits.
        count: how many.
    """
    rng = np.random.default_rng(seed)
    splits = []
    for _ in range(count):
        order = [people[i] for i in rng.permutation(len(people))]
        half = len(people) // 2
        splits.append({"train": sorted(order[half:]), "test": sorted(order[:half])})
    return splits


def is_synthetic(folder: Path) -> bool:
    """Whether ``nr3d synthesize`` drew a dataset: its counts and people are its own."""
    return (folder / "info" / "synthetic.json").is_file()


def is_shared(person: str, folder: Path) -> bool:
    """Whether a name stands for the same person under both cameras of PRID2011.

    Args:
        person: name of the person's folders, such as ``person_0001``.
        folder: the dataset's.
    """
    digits = re.findall(r"\d+", person)
    return not digits or int(digits[-1]) <= PRID2011_SHARED or is_synthetic(folder)


def write_prid2011_splits(
    root: str | Path,
    seed: int = 0,
    count: int = 10,
    min_frames: int = PRID2011_MIN_FRAMES,
    *,
    replace: bool = False,
) -> tuple[Path, int]:
    """Make PRID2011's missing file of splits in torchreid's form and place.

    Taken are the people who are under both cameras with enough frames. The published protocol has
    178 of them, and draws of its own that a file made here does not repeat.

    Args:
        root: folder that holds ``prid2011/prid_2011/multi_shot``.
        seed: same seed, same file.
        count: splits.
        min_frames: frames that a person must have under each camera.
        replace: write over a file that is there.

    Returns:
        tuple: the file, and how many people each split divides.

    Raises:
        DataError: if the dataset is not there, too few people are left, or the file is there.
        ConfigError: for a seed below 0, or a count or number of frames below 1.
    """
    for what, value, least in (("seed", seed, 0), ("count", count, 1), ("frames", min_frames, 1)):
        if value < least:
            raise ConfigError(f"{what} is {value}, expected at least {least}")
    path = expanded(root, DataError) / SPLIT_FILES["prid2011"]
    refuse_over(path, replace=replace)
    first, second = (
        _frames_of_people(path.parent / camera, path.parent) for camera in PRID2011_CAMERAS
    )
    people = sorted(
        person
        for person in first.keys() & second.keys()
        if min(first[person], second[person]) >= min_frames and is_shared(person, path.parent)
    )
    if len(people) < 4:
        raise DataError(
            f"{path.parent} has {len(people)} people with {min_frames} frames or more under both "
            "cameras, expected at least 4: restore its frames, or ask for fewer by --min-frames."
        )
    text = json.dumps(half_splits(people, seed, count), indent=4)
    write_new(path, text, replace=replace)
    return path, len(people)


def _frames_of_people(camera: Path, dataset: Path) -> dict[str, int]:
    """Count each person's frames that torchreid's loader takes."""
    if not camera.is_dir():
        raise DataError(
            f"There is no {camera}: unpack PRID2011 so that its prid_2011 lies in {dataset}."
        )
    return {
        person.name: sum(is_image(frame.name) for frame in person.glob("*.png"))
        for person in camera.iterdir()
        if person.is_dir()
    }
