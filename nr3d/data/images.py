"""torchreid's datasets of images, as tracklets."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nr3d.data.datasets.parts import DISTRACTOR, Parts, Tracklets
from nr3d.data.foreign import not_loaded, quiet
from nr3d.data.frames import in_time_order
from nr3d.errors import DataError, Nr3dError
from nr3d.registry import registered_image_datasets


def has_image_splits(name: str) -> bool:
    """Return whether a name is that of a dataset of images with several splits."""
    reader = registered_image_datasets().get(name)
    return reader is not None and "split_id" in inspect.signature(reader).parameters


def read_images(name: str, root: Path, split_id: int = 0, combineall: bool = False) -> Parts:
    """Read a dataset of images by torchreid's own reader, and make tracklets of its images.

    All training images of a person in one camera become one pseudo-tracklet, sorted by name. A
    test keeps torchreid's queries and gallery, and each image is a tracklet of one frame: to
    group a gallery by person and camera would give away what is searched for. Images that
    torchreid counts as junk show nobody, and are distractors in the gallery.

    Nothing is fetched: the folder of the dataset has to be there.

    Args:
        name: torchreid's name of the dataset.
        root: folder that holds the datasets' folders.
        split_id: number of the split, from 0, of a dataset that has several.
        combineall: whether to train on train, query and gallery together.

    Returns:
        Parts: the tracklets. A dataset that torchreid only trains on has no query and gallery.

    Raises:
        DataError: if the dataset is missing, or cannot be read.
    """
    reader = registered_image_datasets()[name]
    folder = getattr(reader, "dataset_dir", None)
    if isinstance(folder, str) and not (root / folder).is_dir():
        url = getattr(reader, "dataset_url", None)
        source = f" torchreid downloads it from {url}." if url else ""
        raise DataError(
            f"There is no folder {root / folder} of the dataset {name!r}: put the dataset there in "
            f"torchreid's layout, or give by --root the folder that holds {folder}. nr3d fetches "
            f"no dataset.{source}"
        )
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of older layouts, which are read all the same
            split = {"split_id": split_id} if has_image_splits(name) else {}
            found = reader(root=str(root), combineall=combineall, verbose=False, **split)
    except Nr3dError:
        raise
    # Readers of torchreid and of the user raise any kind of error.
    except Exception as error:
        raise not_loaded(name, root, error) from error
    junk = set(getattr(found, "_junk_pids", ()))
    train = _grouped(found.train)
    if getattr(found, "_train_only", False):
        return Parts(train, [], [])
    gallery = [
        (paths, DISTRACTOR if pid in junk else pid, camid)
        for paths, pid, camid in _single(found.gallery)
    ]
    return Parts(train, _single(found.query), gallery)


def _grouped(images: Iterable[tuple[Any, ...]]) -> Tracklets:
    """Return the images of each person in each camera as a tracklet, sorted by name."""
    groups: dict[tuple[int, int], list[str]] = {}
    for path, pid, camid, *_ in images:
        groups.setdefault((int(pid), int(camid)), []).append(path)
    found = [(in_time_order(paths), pid, camid) for (pid, camid), paths in groups.items()]
    return sorted(found, key=lambda tracklet: tracklet[0])


def _single(images: Iterable[tuple[Any, ...]]) -> Tracklets:
    """Return each image as a tracklet of one frame, sorted by name."""
    return sorted(((path,), int(pid), int(camid)) for path, pid, camid, *_ in images)
