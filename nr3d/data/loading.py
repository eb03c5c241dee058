"""Datasets as torchreid's objects, from their folders or from a pack."""

from __future__ import annotations

import contextlib
import glob
import io
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nr3d.data.converted.dataset import INDEX, index_mend, is_converted, register_converted
from nr3d.data.converted.tree import is_name
from nr3d.data.packs.reading import NO_SPLIT, PARTS, Pack, open_pack
from nr3d.errors import ConfigError, DataError, Nr3dError, reason_of
from nr3d.files.home import expanded
from nr3d.host import torchreid
from nr3d.registry import registered_video_datasets

logger = logging.getLogger(__name__)


def load_datasets(
    names: Sequence[str],
    root: str | Path,
    pack: str | Path = "",
    *,
    split_id: int = 0,
    combineall: bool = False,
) -> dict[str, Any]:
    """Load torchreid's video datasets, the one that is packed from its pack.

    Args:
        names: torchreid's names.
        root: folder that holds the datasets' folders; need not be there if all are packed.
        pack: file of one of the datasets; empty for none.
        split_id: split of PRID2011 and iLIDS-VID, from 0.
        combineall: train on train, query and gallery together.

    Raises:
        DataError: if a dataset or the pack cannot be loaded, or the pack is of no dataset named.
        ConfigError: if there is no such split, or the pack is of another.
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


def load_packed(pack: Pack, split_id: int = 0, combineall: bool = False) -> Any:
    """Load the dataset of a pack.

    Raises:
        ConfigError: if it is of another split.
    """
    if pack.split_id not in (NO_SPLIT, split_id):
        raise ConfigError(
            f"data.split_id is {split_id}, and {pack.path} holds split {pack.split_id} of "
            f"{pack.dataset}: set data.split_id {pack.split_id}, or pack the other: nr3d pack "
            f"--root DIR --dataset {pack.dataset} --split-id {split_id} --out FILE"
        )
    return _assembled(pack.dataset, *map(pack.tracklets, PARTS), combineall=combineall)


def _assembled(name: str, train: Any, query: Any, gallery: Any, *, combineall: bool) -> Any:
    """Make torchreid's dataset of tracklets, without its own reading of files."""
    # The dataset's own class combines all in its own way; only its tracklets come from elsewhere.
    own = registered_video_datasets().get(name)
    plain: type[Any] = torchreid.data.VideoDataset
    kind: type[Any] = own if isinstance(own, type) else plain
    dataset = object.__new__(kind)
    combines = combineall and kind.combine_all is plain.combine_all
    plain.__init__(
        dataset,
        train,
        query,
        gallery,
        combineall=combineall and not combines,
        mode="train",
        transform=_unused,
        verbose=False,
    )
    if combines:
        _combine(dataset)
    return dataset


def _combine(dataset: Any) -> None:
    """Train on train, query and gallery together.

    torchreid's own stops at a query whose person is not in the gallery.
    """
    testing = [*dataset.query, *dataset.gallery]
    first = dataset.num_train_pids
    label = {pid: first + i for i, pid in enumerate(sorted({pid for _, pid, _, _ in testing}))}
    dataset.train = [
        *dataset.train,
        *((paths, label[pid], camid, dsetid) for paths, pid, camid, dsetid in testing),
    ]
    dataset.num_train_pids = dataset.get_num_pids(dataset.train)
    dataset.combineall, dataset.data = True, dataset.train


def load_dataset(name: str, root: str | Path, split_id: int, combineall: bool) -> Any:
    """Load one of torchreid's video datasets, quietly, with an error that says what to do.

    Those that ``nr3d data check`` knows are read here and not by torchreid, to the same tracklets:
    what the check passes loads, wherever it lies and whatever numbers its tables are kept as, and
    what cannot be loaded is said in the check's words.

    Args:
        name: torchreid's name, or the folder of a converted dataset.
        root: folder that holds the datasets' folders.
        split_id: split of PRID2011 and iLIDS-VID, from 0.
        combineall: train on train, query and gallery together.

    Raises:
        DataError: if it cannot be loaded.
        ConfigError: if there is no such split.
    """
    # nr3d.checking reads frames by nr3d.data, so neither may need the other to be imported.
    from nr3d.checking.layouts import LAYOUTS, read_tracklets

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
        return _assembled(name, *parts, combineall=combineall)
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
    # A reader of torchreid's or the user's own raises whatever it stumbles over.
    except Exception as error:
        for made in set(root.iterdir()) - before:
            # torchreid makes a folder to download into and leaves it when that fails.
            if made.is_dir() and not any(made.iterdir()):
                made.rmdir()
        reason = reason_of(error)
        if not str(error):
            reason = f"{reason} while reading its files"
        mend = "Put its files there in torchreid's layout, or give another root."
        if glob.escape(str(root)) != str(root):
            mend += " The root's name has one of *, ? and [, which torchreid takes for a pattern."
        raise DataError(
            f"Dataset {name!r} cannot be loaded from {root}: {reason}. {mend}"
        ) from error


def _register_own(name: str, root: Path) -> bool:
    """Register a converted dataset that is meant by a name; give whether one is meant."""
    from nr3d.checking.layouts import refuse_other_name

    folder = root / name
    if not is_name(name):
        return False
    if name in registered_video_datasets():
        return is_converted(name)
    if (folder / INDEX).is_file():
        register_converted(root, name)
        return True
    refuse_other_name(name, folder)
    if folder.is_dir():
        raise DataError(
            f"torchreid knows no dataset {name!r}, and {folder} is not a converted one: it has no "
            f"{INDEX}. {index_mend(folder)}"
        )
    return False


def _unused(image: Any) -> Any:
    """A transform for torchreid's datasets, which refuse None; frames are read by ours."""
    return image


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what torchreid prints while it loads to the log."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        for line in filter(None, (line.rstrip() for line in printed.getvalue().splitlines())):
            logger.debug("torchreid: %s", line)
