"""Conversion of a plain tree of frames, or of images, into a dataset, by drawing its splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nr3d.data.converted.dataset import refuse_taken, register_converted
from nr3d.data.converted.grouping import Grouping, group
from nr3d.data.converted.index import INDEX, Index, strangers
from nr3d.data.converted.patterns import check_by, pattern_of
from nr3d.data.converted.selection import Selection, by_camera, select
from nr3d.data.converted.tree import SHAPE, PlainTracklet, Tree, scan
from nr3d.data.datasets.parts import PURPOSES, SPLITS
from nr3d.errors import ConfigError, DataError, shown
from nr3d.files.home import expanded
from nr3d.files.new_files import refuse_over, write_new

_FEWEST = {"both": 3, "train": 2, "test": 1}
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
        pseudo: whether the tracklets are pseudo-tracklets.
        short: number of tracklets that are left out since they have too few frames; of
            distractors too.
        lost: number of identities of whom that leaves no tracklet.
        alone: number of other identities that are left out since they are left under one camera.
        lone_images: number of gallery tracklets that show nobody in particular, of one image each.
        junk: number of images that are left out since their names mark them as junk.
        unmatched: paths under the folder of images that do not match the pattern.
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
    pseudo: bool = False
    short: int = 0
    lost: int = 0
    alone: int = 0
    lone_images: int = 0
    junk: int = 0
    unmatched: tuple[str, ...] = ()


def convert(
    folder: str | Path,
    seed: int = 0,
    train_share: float = 0.5,
    *,
    pattern: str = "",
    by: str = "",
    min_frames: int = 1,
    purpose: str = "both",
    replace: bool = False,
) -> Conversion:
    """Make a dataset of torchreid's from a tree of frames or from named images, in place.

    Nothing is copied or moved: an index is written beside the frames, and the dataset is registered
    by the name of its folder. Half of the identities are for training. Of each other identity under
    two cameras or more, one tracklet of each camera is a query and the rest is gallery; if that
    leaves a query without an answer under another camera, a camera with a single tracklet keeps it
    in the gallery. Identities under one camera only are distractors in the gallery.

    Without a pattern, the folder is a tree ``identity/camera/tracklet/frame``. With one, it holds
    images whose names say person and camera, as those of Market-1501 do, and all images of a
    person in one camera become one pseudo-tracklet, in the order of time. Few cameras then have
    several tracklets of a person, and those with a single one keep it in the gallery: one drawn
    tracklet is the query of a person without any other. Identities under one camera only are left
    out, and images of nobody in particular are gallery tracklets of a single frame.

    Pseudo-tracklets hold a few images far apart in time. Figures on them do not compare with those
    on MARS or another dataset of video.

    Args:
        folder: folder of the tree or of the images, whose name becomes that of the dataset.
        seed: seed of the draws, from 0; the same tree and seed give the same index.
        train_share: share of the identities that train, between 0 and 1.
        pattern: pattern of the images' names: ``'market1501'``, ``'dukemtmcreid'``,
            ``'msmt17'``, or a regular expression, as
            :func:`nr3d.data.converted.patterns.pattern_of` takes it. Default is a plain tree.
        by: extent of a tracklet of images: ``'camera'``, ``'sequence'`` or ``'tracklet'``, of
            which the last two need a group of their name in the pattern.
            Default is the tracklet if the pattern has one, else the camera.
        min_frames: least number of frames of a tracklet; shorter ones are left out.
        purpose: purpose of the dataset: ``'both'``, ``'train'`` or ``'test'``, of which the last
            two get all identities.
        replace: whether to write over an existing index.

    Returns:
        Conversion: the index, and the counts of the dataset.

    Raises:
        DataError: if the folder is no such tree, already has an index, or has a name that torchreid
            holds for something else; the message names the path and says what to do.
        ConfigError: if an option is out of its range, or the pattern cannot be used.

    Examples:
        >>> made = nr3d.data.convert("reid-data/shop", seed=1)  # doctest: +SKIP
        >>> made = nr3d.data.convert(  # doctest: +SKIP
        ...     "market1501/bounding_box_train", pattern="market1501", min_frames=2
        ... )
        >>> nr3d.data.ClipDataManager(root="reid-data", sources=made.name)  # doctest: +SKIP
    """
    if not 0 < train_share < 1:
        raise ConfigError(
            f"train_share is {train_share}, expected a number between 0 and 1; a dataset for one "
            "purpose alone is made by --train-only or --test-only (purpose='train' or 'test')"
        )
    for name, number, least in (("seed", seed, 0), ("min_frames", min_frames, 1)):
        if type(number) is not int:
            raise ConfigError(f"{name} is {shown(number)}, expected a whole number")
        if number < least:
            raise ConfigError(f"{name} is {number}, expected at least {least}")
    if purpose not in PURPOSES:
        raise ConfigError(f"purpose is {shown(purpose)}, expected one of {', '.join(PURPOSES)}")
    if by and not pattern:
        raise ConfigError(
            f"by is {shown(by)}, and there is no pattern: the tracklets of a tree are its folders; "
            "leave it out, or give a pattern of the images' names"
        )
    made: dict[str, object] = {"seed": seed, "train_share": train_share, "min_frames": min_frames}
    if purpose != "both":
        made["purpose"] = purpose
    if pattern:
        by = check_by(by, pattern_of(pattern))
        made |= {"pattern": pattern, "by": by, "pseudo_tracklets": by != "tracklet"}
    # Not resolved: the dataset keeps the name that its user gives, even if that is a link.
    folder = expanded(folder, DataError).absolute()
    if folder.name == "..":
        folder = folder.resolve()
    path = folder / INDEX
    what = "images" if pattern else f"a tree {SHAPE}"
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}: give the folder of {what}.")
    if not folder.name:
        raise DataError(f"{folder} has no name to call a dataset by: give the folder of a tree.")
    refuse_taken(folder.name)
    refuse_over(path, replace=replace)
    source = group(folder, pattern_of(pattern), by) if pattern else _fitting(folder)
    images = source if isinstance(source, Grouping) else None
    selection = select(source.tracklets, min_frames, several_cameras=images is not None)
    _refuse_few(folder, selection, images, purpose, min_frames)
    rng = np.random.default_rng(seed)
    divided = _divide(selection.tracklets, rng, train_share, purpose, images is not None)
    index = Index(divided, made)
    write_new(path, index.text(), replace=replace)
    register_converted(folder.parent, folder.name)
    tests = index.of("query", "gallery")
    tested = {name: cameras for name, cameras in by_camera(tests).items() if name}
    return Conversion(
        index=path,
        name=folder.name,
        train_identities=len({tracklet.identity for tracklet in index.of("train")}),
        test_identities=len(tested),
        distractors=sum(len(cameras) == 1 for cameras in tested.values()),
        cameras=len({tracklet.camera for tracklet in index.of(*SPLITS)}),
        train_tracklets=len(index.of("train")),
        query=len(index.of("query")),
        gallery=len(index.of("gallery")),
        frames=sum(len(tracklet.frames) for tracklet in index.of(*SPLITS)),
        skipped=tuple(strangers(source.skipped)),
        pseudo=index.pseudo,
        short=len(selection.short),
        lost=len(selection.lost),
        alone=len(selection.alone),
        lone_images=sum(not tracklet.identity for tracklet in tests),
        junk=0 if images is None else len(images.junk),
        unmatched=() if images is None else tuple(images.unmatched),
    )


def _fitting(folder: Path) -> Tree:
    """Return the content of a tree, and refuse one of another shape."""
    tree = scan(folder)
    for problem in tree.problems:
        first, others = problem.places[0], len(problem.places) - 1
        more = f" and {others:,} more" if others else ""
        raise DataError(
            f"There are {problem.what}: {folder / first}{more}, expected {folder}/{SHAPE}. "
            f"{problem.remedy}"
        )
    return tree


def _refuse_few(
    folder: Path, selection: Selection, images: Grouping | None, purpose: str, min_frames: int
) -> None:
    """Refuse tracklets that cannot train and test."""
    identities = by_camera(tracklet for tracklet in selection.tracklets if tracklet.identity)
    few = len(identities) < _FEWEST[purpose]
    held = f"only {', '.join(identities)}" if identities else "no folder"
    if few and (selection.lost or selection.alone):
        short = f"{len(selection.lost)} have no tracklet of at least {min_frames} frames"
        alone = f"{len(selection.alone)} {'others ' if selection.lost else ''}are "
        alone += f"{'left ' if selection.short else ''}under one camera only"
        out = [short] * bool(selection.lost) + [alone] * bool(selection.alone)
        remedy = "set min_frames lower, or give more people"
        if not selection.short:
            remedy = "give images of more people, each under several cameras"
        raise DataError(
            f"Of the people in {folder}, {' and '.join(out)}, which leaves {len(identities)}, "
            f"expected at least {_FEWEST[purpose]}: {remedy}."
        )
    if few and images is not None:
        raise DataError(
            f"{folder} holds images of {len(identities)} people, expected at least "
            f"{_FEWEST[purpose]}: give a folder with more people."
        )
    if few:
        raise DataError(
            f"{folder} holds {held}, expected the folders of at least {_FEWEST[purpose]} "
            f"identities, as in {SHAPE}: give the folder that holds the identities' folders."
        )
    if purpose != "train" and not any(len(cameras) > 1 for cameras in identities.values()):
        one = next(iter(identities))
        raise DataError(
            f"No identity of {folder} is under two cameras, such as {one} under "
            f"{', '.join(identities[one])} only: a test looks for a person under another camera. "
            f"Give a camera's folder the same name for every identity, as in {SHAPE}."
        )


def _divide(
    tracklets: Sequence[PlainTracklet],
    rng: np.random.Generator,
    train_share: float,
    purpose: str,
    of_images: bool,
) -> dict[str, list[PlainTracklet]]:
    """Draw the identities that train, and the query and gallery tracklets of the others."""
    identities = by_camera(tracklet for tracklet in tracklets if tracklet.identity)
    names = [list(identities)[i] for i in rng.permutation(len(identities))]
    # Identities under several cameras come first. Taking identities at equal steps then gives both
    # parts their share of them, and leaves the first one, which can be searched for, to the test.
    names.sort(key=lambda name: len(identities[name]) == 1)
    total = len(names)
    training = min(max(2, int(train_share * total + 0.5)), total - 1)
    training = {"both": training, "train": total, "test": 0}[purpose]
    trains = {
        name for i, name in enumerate(names) if (i + 1) * training // total > i * training // total
    }
    draw = _sparing_queries if of_images else _queries
    asking = {
        tracklet.place
        for name in sorted(identities.keys() - trains)
        for tracklet in draw(identities[name], rng)
    }
    divided: dict[str, list[PlainTracklet]] = {"train": [], "query": [], "gallery": []}
    for tracklet in tracklets:
        if tracklet.identity in trains:
            divided["train"].append(tracklet)
        elif tracklet.identity or purpose != "train":
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


def _sparing_queries(
    cameras: dict[str, list[PlainTracklet]], rng: np.random.Generator
) -> list[PlainTracklet]:
    """Draw the queries of an identity so that every camera keeps a tracklet in the gallery.

    Where no camera has a second tracklet, one tracklet is the only query.
    """
    if len(cameras) == 1:
        return []
    asking = [takes for takes in cameras.values() if len(takes) > 1]
    asking = asking or [list(cameras.values())[rng.integers(len(cameras))]]
    return [takes[rng.integers(len(takes))] for takes in asking]
