"""Random half splits, and the file of them that PRID2011 lacks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nr3d.data.datasets.splits import (
    PRID2011_CAMERAS,
    PRID2011_MIN_FRAMES,
    SPLIT_FILES,
    Split,
    is_shared,
)
from nr3d.data.frames import is_image
from nr3d.errors import ConfigError, DataError
from nr3d.files.home import expanded
from nr3d.files.new_files import refuse_over, write_new


def half_splits(people: Sequence[str], seed: int, count: int = 10) -> list[Split]:
    """Draw random splits, in each of which half of the people train and the others test.

    If their number is odd, one fewer tests than trains.

    Args:
        people: names of the people's folders.
        seed: seed of the draw; the same seed gives the same splits.
        count: number of splits.

    Returns:
        list: the people of each split.
    """
    rng = np.random.default_rng(seed)
    splits = []
    for _ in range(count):
        order = [people[i] for i in rng.permutation(len(people))]
        half = len(people) // 2
        splits.append({"train": sorted(order[half:]), "test": sorted(order[:half])})
    return splits


def write_prid2011_splits(
    root: str | Path,
    seed: int = 0,
    count: int = 10,
    min_frames: int = PRID2011_MIN_FRAMES,
    *,
    replace: bool = False,
) -> tuple[Path, int]:
    """Write PRID2011's missing file of splits, in torchreid's form and place.

    The people who have enough frames under both cameras are divided. The published splits divide
    178 people by draws of their own, which a file made here does not repeat.

    Args:
        root: folder that holds ``prid2011/prid_2011/multi_shot``.
        seed: seed of the draw, from 0; the same seed gives the same file.
        count: number of splits, from 1.
        min_frames: least number of frames of a person under each camera, from 1.
        replace: whether to write over an existing file.

    Returns:
        tuple: the path of the file, and the number of people that each split divides.

    Raises:
        DataError: if the dataset is missing, has too few people, or already has the file.
        ConfigError: if the seed, the count or the number of frames is too low.
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
    """Return the number of frames of each person that torchreid's loader takes."""
    if not camera.is_dir():
        raise DataError(
            f"There is no {camera}: unpack PRID2011 so that its prid_2011 lies in {dataset}."
        )
    return {
        person.name: sum(is_image(frame.name) for frame in person.glob("*.png"))
        for person in camera.iterdir()
        if person.is_dir()
    }
