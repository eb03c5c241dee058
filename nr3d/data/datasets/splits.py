"""Files of the random half splits of PRID2011 and iLIDS-VID."""

from __future__ import annotations

import json
import logging
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nr3d.data.folders import is_name
from nr3d.errors import ConfigError, DataError
from nr3d.files.atomic import write_text
from nr3d.files.home import expanded
from nr3d.files.json_files import read_json
from nr3d.files.regular_files import MEBIBYTE

logger = logging.getLogger(__name__)

SPLIT_FILES = {"prid2011": "prid2011/splits_prid2011.json", "ilidsvid": "ilids-vid/splits.json"}
"""Paths of torchreid's files of splits, under the root of the datasets."""

ILIDSVID_TABLE = "train-test people splits/train_test_splits_ilidsvid.mat"
"""Path of the table from which torchreid makes iLIDS-VID's file of splits."""

PRID2011_CAMERAS = ("prid_2011/multi_shot/cam_a", "prid_2011/multi_shot/cam_b")
"""Paths of the cameras' folders in the folder of PRID2011."""

PRID2011_SHARED = 200
"""Number of people under both cameras; a higher number is another person under each camera."""

PRID2011_MIN_FRAMES = 22
"""Least number of frames of a person under each camera: above 21, as in the published splits."""

_LARGEST = 64 * MEBIBYTE
"""Largest size of a file of splits, in bytes; the published ones have less than one mebibyte."""

Split = dict[str, list[str]]
"""Names of the folders of the people who ``train`` and who ``test``."""


def read_splits(name: str, root: str | Path) -> list[Split]:
    """Read the splits of a dataset.

    Args:
        name: name of the dataset, ``'prid2011'`` or ``'ilidsvid'``.
        root: folder that holds the datasets' folders.

    Returns:
        list: the people of each split.

    Raises:
        ConfigError: if the dataset has no splits.
        DataError: if the file is missing or is no file of splits; the message names the file and
            says what to do.
    """
    if name not in SPLIT_FILES:
        raise ConfigError(
            f"{name!r} has no splits to choose from, expected one of {', '.join(SPLIT_FILES)}"
        )
    try:
        return parse_splits(expanded(root, DataError) / SPLIT_FILES[name])
    except DataError as error:
        raise DataError(f"{error}. {splits_remedy(name, root)}") from error.__cause__


def parse_splits(path: Path) -> list[Split]:
    """Read a file of splits.

    Raises:
        DataError: if it is missing or is no file of splits; the message says what is wrong, not
            what to do.
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
    """Write a file of splits as torchreid does, if its folder can be written.

    The dataset may be on a read-only disk, and can be used without the file.
    """
    try:
        write_text(path, json.dumps(list(splits), indent=4, separators=(",", ": ")))
    except OSError as error:
        logger.debug("The splits are not kept in %s: %s", path, error)


def splits_remedy(name: str, root: str | Path) -> str:
    """Return advice on how to make a dataset's file of splits, or to replace it."""
    path = expanded(root, DataError) / SPLIT_FILES[name]
    if name == "prid2011":
        replace = " --replace" if path.exists() else ""
        command = f"nr3d data splits prid2011 --root {shlex.quote(str(root))} --seed 0{replace}"
        return f"Make it: {command}"
    made = f"torchreid makes it from {ILIDSVID_TABLE!r} when it next loads the dataset."
    return f"Delete it: {made}" if path.exists() else f"Load the dataset: {made}"


def is_synthetic(folder: Path) -> bool:
    """Return whether a dataset was drawn by ``nr3d synthesize``, with its own counts and people."""
    return (folder / "info" / "synthetic.json").is_file()


def is_shared(person: str, folder: Path) -> bool:
    """Return whether a name stands for the same person under both cameras of PRID2011.

    Args:
        person: name of the person's folders, such as ``person_0001``.
        folder: folder of the dataset.
    """
    digits = re.findall(r"\d+", person)
    return not digits or int(digits[-1]) <= PRID2011_SHARED or is_synthetic(folder)
