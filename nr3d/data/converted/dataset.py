"""Converted datasets as torchreid's, by the names of their folders."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any, ClassVar

from nr3d.data.converted.index import INDEX, index_remedy, read_index
from nr3d.data.datasets.parts import DISTRACTOR, Tracklets
from nr3d.errors import DataError
from nr3d.files.home import expanded
from nr3d.host import torchreid
from nr3d.registry import registered_video_datasets


class PartialDataset(torchreid.data.VideoDataset):  # type: ignore[misc]
    """torchreid's dataset of video whose splits may be empty; :func:`initialise` sets one up."""

    def __add__(self, other: Any) -> Any:
        """Return this dataset with the training tracklets of another too, as torchreid's does."""
        # torchreid's own makes a dataset anew, and looks into the first query.
        both = copy.copy(self)
        both.train = [
            *self.train,
            *(
                (
                    paths,
                    pid + self.num_train_pids,
                    camid + self.num_train_cams,
                    dsetid + self.num_datasets,
                )
                for paths, pid, camid, dsetid in other.train
            ),
        ]
        both.num_train_pids = self.get_num_pids(both.train)
        both.num_train_cams = self.get_num_cams(both.train)
        both.num_datasets = self.get_num_datasets(both.train)
        both.data = getattr(both, both.mode)
        return both


class ConvertedDataset(PartialDataset):
    """torchreid's dataset of a converted tree: the frames that its index names.

    Training identities, test identities and cameras are each numbered from 0, in the order of their
    names.

    Args:
        name: name of the tree's folder.
        root: folder that holds the tree's folder.
        kwargs: torchreid's options for any video dataset.

    Raises:
        DataError: if the index is missing or cannot be used.
    """

    # torchreid leaves them out where it trains on the gallery too.
    _junk_pids: ClassVar = [DISTRACTOR]

    def __init__(self, name: str, root: str | Path = "", **kwargs: Any) -> None:
        folder = expanded(root, DataError).absolute() / name
        self.dataset_dir = str(folder)
        initialise(self, *read_index(folder).parts(folder), **kwargs)


def initialise(
    dataset: Any, train: Tracklets, query: Tracklets, gallery: Tracklets, **kwargs: Any
) -> None:
    """Initialise a video dataset of torchreid's, whose splits may be empty.

    Args:
        dataset: the dataset, whose own ``__init__`` is bypassed.
        train, query, gallery: tracklets of the splits.
        kwargs: torchreid's options for any video dataset.
    """
    splits = {"train": train, "query": query, "gallery": gallery}
    options = {**kwargs, "verbose": False}
    if not gallery:
        options["combineall"] = False
    # torchreid looks into the first tracklet of each split.
    stand_in = next(filter(None, splits.values()))[:1]
    torchreid.data.VideoDataset.__init__(
        dataset, *(tracklets or stand_in for tracklets in splits.values()), **options
    )
    for name, tracklets in splits.items():
        if not tracklets:  # torchreid may have put others after the stand-in
            setattr(dataset, name, getattr(dataset, name)[1:])
    dataset.num_train_pids = dataset.get_num_pids(dataset.train)
    dataset.num_train_cams = dataset.get_num_cams(dataset.train)
    dataset.data = getattr(dataset, dataset.mode)
    if kwargs.get("verbose", True):
        dataset.show_summary()


def refuse_taken(name: str) -> None:
    """Refuse a name that torchreid holds for another dataset.

    Raises:
        DataError: if torchreid holds the name for something else.
    """
    present = registered_video_datasets().get(name)
    if present is not None and not _is_converted(present):
        raise DataError(
            f"torchreid already holds the name {name!r} for something else ({present!r}): rename "
            "the folder, whose name is the dataset's."
        )


def register_converted(root: str | Path, name: str) -> None:
    """Register a converted tree with torchreid, by the name of its folder.

    nr3d's own data manager does this by itself; torchreid's needs this call. A second call changes
    nothing.

    Args:
        root: folder that holds the tree's folder.
        name: name of the tree's folder.

    Raises:
        DataError: if the folder has no index, or torchreid holds the name for something else.

    Examples:
        >>> nr3d.data.register_converted("reid-data", "shop")  # doctest: +SKIP
        >>> torchreid.data.VideoDataManager(root="reid-data", sources="shop")  # doctest: +SKIP
    """
    folder = expanded(root, DataError) / name
    if not (folder / INDEX).is_file():
        raise DataError(f"There is no {folder / INDEX}. {index_remedy(folder)}")
    refuse_taken(name)
    if name not in registered_video_datasets():
        torchreid.data.register_video_dataset(name, functools.partial(ConvertedDataset, name))


def is_converted(name: str) -> bool:
    """Return whether torchreid holds a name for a converted dataset."""
    return _is_converted(registered_video_datasets().get(name))


def _is_converted(builder: object) -> bool:
    return isinstance(builder, functools.partial) and builder.func is ConvertedDataset
