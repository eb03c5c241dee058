"""Conversion of a plain tree of frames into a dataset, by drawing its splits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nr3d.data.converted.dataset import refuse_taken, register_converted
from nr3d.data.converted.index import INDEX, Index, strangers
from nr3d.data.converted.tree import SHAPE, PlainTracklet, Tree, scan
from nr3d.errors import ConfigError, DataError
from nr3d.files.home import expanded
from nr3d.files.new_files import refuse_over, write_new

_FEWEST = 3
"""Least number of identities: two to train on, to be distinguished, and one to test on."""


@dataclass(frozen=True)
class Conversion:
    """A dataset that :func:`convert` made.

    Args:
        index: path of the index.
        name: name of the dataset, for torchreid.
        train_identities: number of identities that train.
        test_identities: number of identities that test, distractors included.
        distractors: number of test identities under one camera only, who are in the gallery and
            never searched for.
        cameras: number of cameras.
        train_tracklets: number of training tracklets.
        query: number of query tracklets.
        gallery: number of gallery tracklets.
        frames: number of frames of all tracklets.
        skipped: paths under the tree's folder that are no frames and are ignored.
    """

    index: Path
    name: str
    train_identities: int
    test_identities: int
    distractors: int
    cameras: int
    train_tracklets: int
    query: int
    gallery: int
    frames: int
    skipped: tuple[str, ...] = ()


def convert(
    folder: str | Path, seed: int = 0, train_share: float = 0.5, *, replace: bool = False
) -> Conversion:
    """Make a dataset of torchreid's from a tree ``identity/camera/tracklet/frame``, in place.

    Nothing is copied or moved: an index is written beside the frames, and the dataset is registered
    by the name of its folder. Half of the identities are for training. Of each other identity under
    two cameras or more, one tracklet of each camera is a query and the rest is gallery; if that
    leaves a query without an answer under another camera, a camera with a single tracklet keeps it
    in the gallery. Identities under one camera only are distractors in the gallery.

    Args:
        folder: folder of the tree, whose name becomes that of the dataset.
        seed: seed of the draws, from 0; the same tree and seed give the same index.
        train_share: share of the identities that train, between 0 and 1.
        replace: whether to write over an existing index.

    Returns:
        Conversion: the index, and the counts of the dataset.

    Raises:
        DataError: if the folder is no such tree, already has an index, or has a name that torchreid
            holds for something else; the message names the path and says what to do.
        ConfigError: if the share or the seed is out of its range.

    Examples:
        >>> made = nr3d.data.convert("reid-data/shop", seed=1)  # doctest: +SKIP
        >>> nr3d.data.ClipDataManager(root="reid-data", sources=made.name)  # doctest: +SKIP
    """
    if not 0 < train_share < 1:
        raise ConfigError(f"train_share is {train_share}, expected a number between 0 and 1")
    if seed < 0:
        raise ConfigError(f"seed is {seed}, expected at least 0")
    # Not resolved: the dataset keeps the name that its user gives, even if that is a link.
    folder = expanded(folder, DataError).absolute()
    if folder.name == "..":
        folder = folder.resolve()
    path = folder / INDEX
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}: give the folder of a tree {SHAPE}.")
    if not folder.name:
        raise DataError(f"{folder} has no name to call a dataset by: give the folder of a tree.")
    refuse_taken(folder.name)
    refuse_over(path, replace=replace)
    tree = _fitting(folder)
    tracklets = tree.tracklets
    index = Index(
        _divide(tracklets, np.random.default_rng(seed), train_share),
        {"seed": seed, "train_share": train_share},
    )
    write_new(path, index.text(), replace=replace)
    register_converted(folder.parent, folder.name)
    tests = index.of("query", "gallery")
    return Conversion(
        index=path,
        name=folder.name,
        train_identities=len({tracklet.identity for tracklet in index.of("train")}),
        test_identities=len({tracklet.identity for tracklet in tests}),
        distractors=sum(len(cameras) == 1 for cameras in _by_camera(tests).values()),
        cameras=len({tracklet.camera for tracklet in tracklets}),
        train_tracklets=len(index.of("train")),
        query=len(index.of("query")),
        gallery=len(index.of("gallery")),
        frames=sum(len(tracklet.frames) for tracklet in tracklets),
        skipped=tuple(strangers(tree)),
    )


def _fitting(folder: Path) -> Tree:
    """Return the content of a tree, and refuse one that cannot train and test."""
    tree = scan(folder)
    for problem in tree.problems:
        first, others = problem.places[0], len(problem.places) - 1
        more = f" and {others:,} more" if others else ""
        raise DataError(
            f"There are {problem.what}: {folder / first}{more}, expected {folder}/{SHAPE}. "
            f"{problem.remedy}"
        )
    identities = _by_camera(tree.tracklets)
    if len(identities) < _FEWEST:
        held = f"only {', '.join(identities)}" if identities else "no folder"
        raise DataError(
            f"{folder} holds {held}, expected the folders of at least {_FEWEST} identities, as in "
            f"{SHAPE}: give the folder that holds the identities' folders."
        )
    if not any(len(cameras) > 1 for cameras in identities.values()):
        one = next(iter(identities))
        raise DataError(
            f"No identity of {folder} is under two cameras, such as {one} under "
            f"{', '.join(identities[one])} only: a test looks for a person under another camera. "
            f"Give a camera's folder the same name for every identity, as in {SHAPE}."
        )
    return tree


def _by_camera(tracklets: Iterable[PlainTracklet]) -> dict[str, dict[str, list[PlainTracklet]]]:
    """Return tracklets by identity and camera."""
    found: dict[str, dict[str, list[PlainTracklet]]] = {}
    for tracklet in tracklets:
        cameras = found.setdefault(tracklet.identity, {})
        cameras.setdefault(tracklet.camera, []).append(tracklet)
    return found


def _divide(
    tracklets: Sequence[PlainTracklet], rng: np.random.Generator, train_share: float
) -> dict[str, list[PlainTracklet]]:
    """Draw the identities that train, and the query and gallery tracklets of the others."""
    identities = _by_camera(tracklets)
    names = [list(identities)[i] for i in rng.permutation(len(identities))]
    # Identities under several cameras come first. Taking identities at equal steps then gives both
    # parts their share of them, and leaves the first one, which can be searched for, to the test.
    names.sort(key=lambda name: len(identities[name]) == 1)
    total = len(names)
    training = min(max(2, int(train_share * total + 0.5)), total - 1)
    trains = {
        name for i, name in enumerate(names) if (i + 1) * training // total > i * training // total
    }
    asking = {
        tracklet.place
        for name in sorted(identities.keys() - trains)
        for tracklet in _queries(identities[name], rng)
    }
    divided: dict[str, list[PlainTracklet]] = {"train": [], "query": [], "gallery": []}
    for tracklet in tracklets:
        if tracklet.identity in trains:
            divided["train"].append(tracklet)
        else:
            divided["query" if tracklet.place in asking else "gallery"].append(tracklet)
    return divided


def _queries(
    cameras: dict[str, list[PlainTracklet]], rng: np.random.Generator
) -> list[PlainTracklet]:
    """Draw the queries of an identity, each with an answer left under another camera."""
    if len(cameras) == 1:
        return []
    single = [camera for camera, takes in cameras.items() if len(takes) == 1]
    several = len(cameras) - len(single)
    # A camera with several tracklets answers the queries of the other cameras with those that are
    # left, and a second such camera answers those of the first. Where there are fewer than two of
    # them, cameras with a single tracklet keep it as an answer.
    answers = max(0, 2 - several) if several else 1
    kept = {single[i] for i in rng.permutation(len(single))[:answers]}
    return [takes[rng.integers(len(takes))] for name, takes in cameras.items() if name not in kept]
