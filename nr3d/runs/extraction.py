"""Extraction of the features of a dataset into a feature store."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from nr3d import parallel
from nr3d.config import Command, as_mapping, features_settings
from nr3d.data import TestTracklets
from nr3d.engine.results import kind_of_test
from nr3d.errors import ConfigError, FeatureStoreError
from nr3d.features import SPLITS, FeatureStore, FeatureWriter, Inference, Origin, Row, extract_each
from nr3d.features.extraction import name_of
from nr3d.features.store.dtypes import DTYPES
from nr3d.models import AttentionHealth
from nr3d.runs.building import device_of, test_options
from nr3d.runs.run import Run, opened
from nr3d.version import versions
from nr3d.weights import available, fetch
from nr3d.weights.hashing import sha256_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Extraction:
    """The outcome of an extraction.

    Args:
        path: path of the feature store.
        counts: number of tracklets that the store holds now, by split.
        extracted: number of tracklets that this run extracted; the others were already there.
        frames: number of frames of the tracklets that this run extracted.
        seconds: wall-clock duration of the extraction, in seconds.
        precision: name of the precision that the features were computed in.
        bad_frames: paths of the frames that could not be read and are left out of the store.
        attention: health of the attention in all tracklets of the store; None if the network has
            none, or there is nothing to judge it by.
    """

    path: Path
    counts: dict[str, int]
    extracted: int
    frames: int
    seconds: float
    precision: str
    bad_frames: Sequence[str]
    attention: AttentionHealth | None = None

    def summary(self) -> dict[str, Any]:
        """Return the outcome as plain values, for JSON."""
        return {
            **vars(self),
            "path": str(self.path),
            "bad_frames": list(self.bad_frames),
            "attention": None if self.attention is None else self.attention.summary(),
        }


def extract_dataset(
    cfg: CfgNode, out: str | Path, splits: Sequence[str] = SPLITS, dtype: str = "float32"
) -> Extraction:
    """Extract the features of a dataset into a store, in all processes that torchrun started.

    A store that exists is completed: only the tracklets that it lacks are extracted.

    Args:
        cfg: a complete configuration, with one target dataset and ``model.load_weights``.
        out: path of the feature store.
        splits: the splits to extract, of ``'train'``, ``'query'`` and ``'gallery'``.
        dtype: the type that features are stored in, ``'float32'`` or ``'float16'``.

    Returns:
        Extraction: the content of the store, and what this run added to it.

    Raises:
        Nr3dError: for every failure that the user can fix; the message says how.
    """
    _check_request(cfg, Path(out), splits, dtype)
    with opened(cfg, Command.EXTRACT) as run:
        return _extract(run, Path(out), splits, dtype)


def _check_request(cfg: CfgNode, out: Path, splits: Sequence[str], dtype: str) -> None:
    """Refuse a request that would fail later, or write something else."""
    unknown = [split for split in splits if split not in SPLITS]
    if unknown or not splits:
        raise ConfigError(f"the splits are {list(splits)}, expected some of {', '.join(SPLITS)}")
    if out.is_dir():
        raise ConfigError(f"{out} is a folder, expected a file to write features into")
    if len(cfg.data.targets) != 1:
        raise ConfigError(
            f"data.targets is {cfg.data.targets}, expected one dataset: a store holds one; extract "
            "the others into stores of their own"
        )
    if not cfg.model.load_weights:
        raise ConfigError("model.load_weights is empty, expected the weights to extract with")
    if dtype not in DTYPES:
        raise ConfigError(f"the type is {dtype!r}, expected one of {', '.join(DTYPES)}")


def _extract(run: Run, out: Path, splits: Sequence[str], dtype: str) -> Extraction:
    started = time.perf_counter()
    world = parallel.world()
    inference = Inference(run.model, device_of(run.cfg), test_options(run.cfg).inference)
    everything = _tracklets(run)
    tracklets = {split: everything[split] for split in SPLITS if split in splits}
    settings = {"precision": inference.precision.name}
    if kind := kind_of_test(run.datamanager, run.cfg.data.targets[0]):
        settings["tracklets"] = kind
    origin = _origin(run.cfg, settings, dtype, everything)

    # Each of several processes writes a store of its own. The first process takes them all in at
    # the end, or at the start of the next run, whatever number of processes that one has.
    own = out if world.size == 1 else _part(out, world.rank)
    have, before = parallel.of_first(
        _taken_over(out, _take_in(out, origin, splits), everything) if world.first else None
    )
    extracted, frames = 0, 0
    with FeatureWriter(own, origin, splits) as writer:
        for row in _rows(run, inference, tracklets, have):
            writer.append(row)
            extracted, frames = extracted + 1, frames + row.frames
        writer.finish()
    done = parallel.of_all((extracted, frames, sorted(run.datamanager.bad_frames)))
    counts: dict[str, int] = {}
    attention: AttentionHealth | None = None
    if world.first:
        _take_in(out, origin, splits)
        store = FeatureStore(out)
        store.require(*tracklets)
        counts, attention = store.counts, store.attention
    counts, attention = parallel.of_first((counts, attention))
    return Extraction(
        path=out,
        counts=counts,
        extracted=sum(one for one, _, _ in done),
        frames=sum(one for _, one, _ in done),
        seconds=time.perf_counter() - started,
        precision=inference.precision.name,
        bad_frames=sorted({*before, *(path for _, _, bad in done for path in bad)}),
        attention=attention,
    )


def _tracklets(run: Run) -> dict[str, TestTracklets]:
    """Return the tracklets of each split of the target dataset, their frames in order of time."""
    datamanager = run.datamanager
    (name,) = datamanager.targets
    of_test: dict[str, TestTracklets] = {
        part: loader.tracklets for part, loader in datamanager.test_loader[name].items()
    }
    train = datamanager.frame_loader(datamanager.train_tracklets, []).tracklets
    return {"train": train, **of_test}


def _rows(
    run: Run,
    inference: Inference,
    tracklets: dict[str, TestTracklets],
    have: set[tuple[str, int]],
) -> Iterator[Row]:
    """Extract this process's share of the tracklets that a store lacks."""
    world, datamanager = parallel.world(), run.datamanager
    for split, of_split in tracklets.items():
        if not of_split:
            logger.warning("The %s split of %s is empty.", split, datamanager.targets[0])
        left = [index for index in range(len(of_split)) if (split, index) not in have]
        if len(left) < len(of_split):
            logger.info("%s: %d of %d are there", split, len(of_split) - len(left), len(of_split))
        loader = datamanager.frame_loader(of_split, left[world.rank :: world.size])
        pooling = run.cfg.video.pooling_method
        for each in extract_each(loader, inference, pooling=pooling, name=split):
            _, pid, camid, _ = tracklet = loader.tracklets.tracklets[each.index]
            yield Row(
                split=split,
                index=each.index,
                pid=pid,
                camid=camid,
                name=name_of(tracklet),
                feature=each.feature,
                clips=each.clips,
                frame_weights=each.frame_weights,
            )


def _origin(
    cfg: CfgNode,
    settings: Mapping[str, str],
    dtype: str,
    tracklets: Mapping[str, TestTracklets],
) -> Origin:
    config = as_mapping(cfg)
    weights = str(cfg.model.load_weights)
    path = fetch(weights) if weights in available() else Path(weights)
    return Origin(
        dataset=cfg.data.targets[0],
        weights=weights,
        weights_sha256=sha256_of(path),
        settings={**features_settings(config), **settings},
        config=config,
        versions=versions(),
        tracklets={split: len(tracklets[split]) for split in SPLITS},
        dtype=dtype,
    )


def _part(out: Path, rank: int) -> Path:
    return out.with_name(f".{out.name}.part{rank}")


def _take_in(out: Path, origin: Origin, splits: Sequence[str]) -> Sequence[Row]:
    """Add the stores that the processes of this or an earlier run wrote to the store of all.

    Returns:
        Sequence: the rows that the store holds then.
    """
    with FeatureWriter(out, origin, splits) as writer:
        # A killed process leaves its part, an unfinished file of a part, or a lock.
        named = re.compile(rf"\.?\.{re.escape(out.name)}\.part(\d+)(\..+\.partial|\.lock)?")
        found = [named.fullmatch(file.name) for file in out.parent.iterdir()]
        ranks = sorted({int(match[1]) for match in found if match})
        writer.take_in([_part(out, rank) for rank in ranks])
        return writer.rows


def _taken_over(
    out: Path, rows: Sequence[Row], tracklets: Mapping[str, TestTracklets]
) -> tuple[set[tuple[str, int]], list[str]]:
    """Check that the rows of earlier runs are those of the tracklets that the dataset has now.

    Returns:
        tuple: (split, index) of each row, and the paths of the frames that were left out of them.

    Raises:
        FeatureStoreError: if the dataset has other tracklets at their indices, or if another number
            of their frames can be read now.
    """
    left_out: list[str] = []
    for row in rows:
        of_split = tracklets[row.split]
        _, pid, camid, _ = tracklet = of_split.tracklets[row.index]
        there, now = (row.name, row.pid, row.camid), (name_of(tracklet), int(pid), int(camid))
        if there != now:
            raise FeatureStoreError(
                f"{out} has {row.split} tracklet {row.index} as {_called(*there)}, and the dataset "
                f"has {_called(*now)} there now: restore the dataset, or give another file."
            )
        positions = of_split.positions(row.index)
        if len(positions) != row.frames:
            read = [of_split.read(row.index, position, left_out) for position in positions]
            readable = sum(frame is not None for frame in read)
            if readable != row.frames:
                raise FeatureStoreError(
                    f"{out} has {row.split} tracklet {row.index}, {row.name}, of {row.frames} "
                    f"frames, and {readable} of them can be read now: the dataset has changed. "
                    "Extract it into another file."
                )
    return {row.key for row in rows}, left_out


def _called(name: str, pid: int, camid: int) -> str:
    return f"{name} of person {pid}, camera {camid}"
