"""Datasets of two cameras, PRID2011 and iLIDS-VID: a tracklet under each, and half splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from nr3d.data.datasets.findings import Report
from nr3d.data.datasets.missing import find_missing
from nr3d.data.datasets.parts import Parts, Tracklets
from nr3d.data.datasets.splits import Split, parse_splits
from nr3d.data.folders import names_in
from nr3d.data.frames import in_time_order, is_image
from nr3d.errors import ConfigError, DataError

People = Mapping[str, Sequence[str]]
"""The people under a camera: the images of each person's folder in time order, by its name."""


def cameras_in(
    report: Report, cameras: Sequence[str], needed: Mapping[str, str]
) -> dict[str, People] | None:
    """Return the people under each camera; None if the folder of a camera is missing.

    Args:
        report: report of the dataset, which takes an error for each missing file or folder.
        cameras: paths of the cameras' folders under the dataset's.
        needed: advice for when a file or folder is missing, by its path under the dataset's
            folder; the cameras' folders are among them.
    """
    if find_missing(report, needed) & set(cameras):
        return None
    return {camera: people_under(report, camera) for camera in cameras}


def splits_in(report: Report, path: Path, remedy: str) -> list[Split]:
    """Return the splits of a file; empty if they cannot be read, which has then been reported.

    Args:
        report: report of the dataset, which takes the error.
        path: the file.
        remedy: advice on how to get a correct file.
    """
    try:
        return parse_splits(path)
    except DataError as error:
        report.add("error", str(error), remedy)
        return []


def people_under(report: Report, camera: str) -> People:
    """Return the people under a camera, given the path of its folder under the dataset's."""
    folder = str(report.folder / camera)
    people, _ = names_in(folder)
    return {
        person: in_time_order(
            [name for name in names_in(f"{folder}/{person}")[1] if is_image(name)]
        )
        for person in people
    }


def check_splits(
    report: Report, source: str, splits: Sequence[Split], remedy: str, first: int = 0
) -> list[str]:
    """Check which people are in which split.

    Args:
        report: report of the dataset, which takes the counts and findings.
        source: name of the file of the splits.
        splits: the splits to check.
        remedy: advice on how to get a correct file.
        first: number of the first of the splits.

    Returns:
        list: names of the people of all these splits, in order.
    """
    both: list[str] = []
    twice: list[str] = []
    for number, split in enumerate(splits, start=first):
        shared = sorted(set(split["train"]) & set(split["test"]))
        both.extend(f"split {number}: {person}" for person in shared)
        twice.extend(
            f"split {number}: {person} ({part})"
            for part in ("train", "test")
            for person, times in Counter(split[part]).items()
            if times > 1
        )
    report.add("error", f"People who both train and test in {source}", remedy, both)
    report.add("error", f"People who are twice in a half of a split in {source}", remedy, twice)
    sizes = [(len(split["train"]), len(split["test"])) for split in splits]
    usual = Counter(sizes).most_common(1)[0][0]
    report.add(
        "warning",
        f"Splits of other sizes than the others in {source}",
        remedy,
        [
            f"split {number}: {train} people to train and {test} to test, others {usual[0]} and "
            f"{usual[1]}"
            for number, (train, test) in enumerate(sizes)
            if (train, test) != usual
        ],
    )
    report.counts["splits"] = len(splits)
    report.counts["train people a split"], report.counts["test people a split"] = usual
    return sorted({person for split in splits for part in split.values() for person in part})


def find_sequences(
    report: Report, cameras: Mapping[str, People], people: Sequence[str], source: str, again: str
) -> dict[str, dict[str, Sequence[str]]]:
    """Find the frames of people under both cameras.

    Args:
        report: report of the dataset, which takes the errors.
        cameras: the people under each camera, by the path of its folder under the dataset's.
        people: names of the people's folders.
        source: name of the file of the splits.
        again: advice on how to get missing frames.

    Returns:
        dict: names of the frames that the loader uses, in time order, by camera and person.
    """
    absent: list[str] = []
    empty: list[str] = []
    found: dict[str, dict[str, Sequence[str]]] = {camera: {} for camera in cameras}
    for camera, there in cameras.items():
        for person in people:
            if person not in there:
                absent.append(f"{camera}/{person}")
            elif names := [name for name in there[person] if name.endswith(".png")]:
                found[camera][person] = names
            else:
                empty.append(f"{camera}/{person}")
    report.add("error", f"People of {source} without a folder under a camera", again, absent)
    report.add(
        "error",
        f"Folders of people of {source} without a .png, where the loader stops",
        again,
        empty,
    )
    return found


def read_sequences(
    report: Report,
    cameras: Mapping[str, People],
    splits: Sequence[Split],
    number: int,
    source: str,
    remedy: str,
    again: str,
) -> Parts | None:
    """Read the tracklets of a split as torchreid does.

    Args:
        report: report of the dataset, which takes the errors.
        cameras: the people under each camera, by the path of its folder under the dataset's.
        splits: all splits of the dataset.
        number: number of the split to read, from 0.
        source: name of the file of the splits.
        remedy: advice on how to get a correct file of splits.
        again: advice on how to get missing frames.

    Returns:
        Parts: the tracklets; None if an error was reported.

    Raises:
        ConfigError: if there is no such split.
    """
    if not 0 <= number < len(splits):
        raise ConfigError(
            f"data.split_id is {number}, and {source} in {report.folder} has {len(splits)} "
            f"splits: set it to one from 0 to {len(splits) - 1}."
        )
    split = splits[number]
    people = check_splits(report, source, [split], remedy, first=number)
    found = find_sequences(report, cameras, people, source, again)
    if report.of("error"):
        return None

    def of(part: str, *taken: int) -> Tracklets:
        homes = list(enumerate(cameras))
        return [
            (
                tuple(
                    f"{report.folder}/{camera}/{person}/{name}" for name in found[camera][person]
                ),
                pid,
                camid,
            )
            for pid, person in enumerate(split[part])
            for camid, camera in [homes[index] for index in taken]
        ]

    return Parts(of("train", 0, 1), of("test", 0), of("test", 1))
