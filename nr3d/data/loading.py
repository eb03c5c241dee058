"""torchreid's dataset objects, loaded from the datasets' folders or from a pack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nr3d.data.converted.dataset import (
    PartialDataset,
    initialise,
    is_converted,
    register_converted,
)
from nr3d.data.converted.index import INDEX, index_remedy
from nr3d.data.datasets.parts import DISTRACTOR, PSEUDO, SINGLE, SPLITS, PseudoParts
from nr3d.data.folders import is_name
from nr3d.data.foreign import not_loaded, quiet
from nr3d.data.images import read_images
from nr3d.data.layouts import LAYOUTS, read_tracklets, refuse_other_name
from nr3d.data.packs.reading import NO_SPLIT, Pack, open_pack
from nr3d.errors import ConfigError, DataError, Nr3dError
from nr3d.files.home import expanded
from nr3d.host import torchreid
from nr3d.registry import registered_image_datasets, registered_video_datasets


def load_datasets(
    names: Sequence[str],
    root: str | Path,
    pack: str | Path = "",
    *,
    split_id: int = 0,
    combineall: bool = False,
) -> dict[str, Any]:
    """Load torchreid's datasets, the packed one from its pack.

    Args:
        names: torchreid's names of the datasets.
        root: folder that holds the datasets' folders; it need not exist if all are packed.
        pack: path of the pack of one of the datasets; empty for none.
        split_id: number of the split of a dataset that has several, from 0.
        combineall: whether to train on train, query and gallery together.

    Returns:
        dict: torchreid's dataset objects, by name.

    Raises:
        DataError: if a dataset or the pack cannot be loaded, or the pack is of another dataset.
        ConfigError: if there is no such split, or the pack is of another split.
    """
    packed = open_pack(pack) if str(pack) else None
    if packed is not None and packed.dataset not in names:
        raise DataError(
            f"{packed.path} is a pack of {packed.dataset!r}, and data.sources and data.targets "
            f"name {', '.join(names)}: give the pack of one of those, or leave data.pack empty."
        )
    return {
        name: load_packed(packed, split_id, combineall)
        if packed is not None and packed.dataset == name
        else load_dataset(name, root, split_id, combineall)
        for name in dict.fromkeys(names)
    }


def kinds_of(datasets: Mapping[str, Any], names: Sequence[str], use: str) -> dict[str, str]:
    """Return which datasets have tracklets that are no video, and what they are instead.

    Args:
        datasets: torchreid's dataset objects by name, as :func:`load_datasets` returns them.
        names: names of the datasets to look at.
        use: their use, ``"train"`` or ``"test"``.

    Returns:
        dict: the kind, one of :data:`nr3d.data.datasets.parts.KINDS`, by name.
    """
    kinds = {name: getattr(datasets[name], f"{use}_kind", "") for name in names}
    return {name: kind for name, kind in kinds.items() if kind}


def refuse_without_training(datasets: Mapping[str, Any], names: Sequence[str]) -> None:
    """Refuse sources that have nothing to train on.

    Args:
        datasets: torchreid's dataset objects by name, as :func:`load_datasets` returns them.
        names: names of the sources.

    Raises:
        DataError: if one of them has no training tracklet.
    """
    for name in names:
        if not datasets[name].train:
            raise DataError(
                f"{name} has no training tracklet, since it was made for testing only: take it out "
                "of data.sources, or convert it again without --test-only."
            )


def load_packed(pack: Pack, split_id: int = 0, combineall: bool = False) -> Any:
    """Load the dataset of a pack; arguments as for :func:`load_datasets`.

    Raises:
        ConfigError: if the pack is of another split.
    """
    if pack.split_id not in (NO_SPLIT, split_id):
        raise ConfigError(
            f"data.split_id is {split_id}, and {pack.path} holds split {pack.split_id} of "
            f"{pack.dataset}: set data.split_id {pack.split_id}, or pack the other: nr3d pack "
            f"--root DIR --dataset {pack.dataset} --split-id {split_id} --out FILE"
        )
    splits = map(pack.tracklets, SPLITS)
    return _assembled(pack.dataset, *splits, combineall=combineall, kinds=pack.kinds)


def _assembled(
    name: str,
    train: Any,
    query: Any,
    gallery: Any,
    *,
    combineall: bool,
    kinds: tuple[str, str] = ("", ""),
) -> Any:
    """Return torchreid's dataset object with given tracklets, bypassing its reading of files."""
    # The dataset's class may combine all in its own way; only the tracklets are read by nr3d.
    own = registered_video_datasets().get(name)
    plain: type[Any] = PartialDataset
    kind: type[Any] = own if isinstance(own, type) else plain
    dataset = object.__new__(kind)
    combines = combineall and kind.combine_all is plain.combine_all
    initialise(
        dataset,
        train,
        query,
        gallery,
        combineall=combineall and not combines,
        mode="train",
        transform=_unused,
        verbose=False,
    )
    dataset.train_kind, dataset.test_kind = kinds
    if combines:
        _combine(dataset)
    return dataset


def _combine(dataset: Any) -> None:
    """Make a dataset train on train, query and gallery together.

    torchreid's own way of doing so stops at a query whose person is not in the gallery.
    """
    testing = [one for one in (*dataset.query, *dataset.gallery) if one[1] != DISTRACTOR]
    first = dataset.num_train_pids
    label = {pid: first + i for i, pid in enumerate(sorted({pid for _, pid, _, _ in testing}))}
    dataset.train = [
        *dataset.train,
        *((paths, label[pid], camid, dsetid) for paths, pid, camid, dsetid in testing),
    ]
    dataset.num_train_pids = dataset.get_num_pids(dataset.train)
    dataset.combineall, dataset.data = True, dataset.train


def load_dataset(name: str, root: str | Path, split_id: int, combineall: bool) -> Any:
    """Load one of torchreid's datasets without printing anything.

    torchreid's datasets of images are read by :func:`nr3d.data.images.read_images`. The datasets of
    :mod:`nr3d.data.layouts` are read by nr3d and not by torchreid, to the same
    tracklets: whatever ``nr3d data check`` passes can be loaded, wherever it lies and whatever type
    of number its tables hold, and anything else is refused in the words of the check.

    Args:
        name: torchreid's name of the dataset, of video or of images, or the folder of a converted
            dataset.
        root: folder that holds the datasets' folders.
        split_id: number of the split of a dataset that has several, from 0.
        combineall: whether to train on train, query and gallery together.

    Raises:
        DataError: if the dataset cannot be loaded; the message says what to do.
        ConfigError: if there is no such split.
    """
    try:
        root = expanded(root, DataError).resolve()
        before = set(root.iterdir())
    except (OSError, RuntimeError, ValueError) as error:
        reason = "no folder" if not isinstance(error, PermissionError) else "no access to"
        raise DataError(
            f"There is {reason} {root}: give the folder that holds the datasets' folders, by "
            "--root on the command line or root= in Python."
        ) from error
    converted = _register_own(name, root)
    if name in LAYOUTS or converted:
        parts = read_tracklets(name, root, split_id)
        kinds = (PSEUDO, PSEUDO) if isinstance(parts, PseudoParts) else ("", "")
        return _assembled(name, *parts, combineall=combineall, kinds=kinds)
    if name in registered_image_datasets():
        parts = read_images(name, root, split_id, combineall)
        return _assembled(name, *parts, combineall=False, kinds=(PSEUDO, SINGLE))
    if name not in registered_video_datasets():
        known = sorted({*registered_video_datasets(), *registered_image_datasets()})
        raise DataError(
            f"torchreid knows no dataset {name!r}, and there is no folder {root / name}: the name "
            f"is expected to be one of {', '.join(known)}, or that of a converted dataset's folder."
        )
    try:
        with quiet():
            return torchreid.data.datasets.init_video_dataset(
                name,
                root=str(root),
                split_id=split_id,
                combineall=combineall,
                mode="train",
                transform=_unused,
                verbose=False,
            )
    except Nr3dError:
        raise
    # Readers of torchreid and of the user raise any kind of error.
    except Exception as error:
        for made in set(root.iterdir()) - before:
            # torchreid creates a folder to download into, and leaves it behind if that fails.
            if made.is_dir() and not any(made.iterdir()):
                made.rmdir()
        raise not_loaded(name, root, error) from error


def _register_own(name: str, root: Path) -> bool:
    """Register a converted dataset if a name is that of one; return whether it is."""
    folder = root / name
    if not is_name(name):
        return False
    if name in registered_video_datasets():
        return is_converted(name)
    if (folder / INDEX).is_file():
        register_converted(root, name)
        return True
    if name in registered_image_datasets():
        return False
    refuse_other_name(name, folder)
    if folder.is_dir():
        raise DataError(
            f"torchreid knows no dataset {name!r}, and {folder} is not a converted one: it has no "
            f"{INDEX}. {index_remedy(folder)}"
        )
    return False


def _unused(image: Any) -> Any:
    """Stand in for the transform that torchreid's datasets require; nr3d reads frames itself."""
    return image
