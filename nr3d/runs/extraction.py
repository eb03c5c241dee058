"""The features of a dataset into a feature store, and a test from one."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from yacs.config import CfgNode

from nr3d import parallel
from nr3d.config import (
    KEYS,
    Command,
    Scope,
    check_values,
    config_of,
    features_settings,
    keys_that_change,
    leaves,
    refuse_unused,
)
from nr3d.data import ClipDataManager, TestTracklets
from nr3d.engine import TestResult, judge
from nr3d.errors import ConfigError, FeatureStoreError
from nr3d.features import SPLITS, FeatureStore, FeatureWriter, Inference, Origin, Row, extract_each
from nr3d.features.extraction import name_of
from nr3d.features.store.layout import DTYPES
from nr3d.host import torchreid
from nr3d.runs.building import (
    as_mapping,
    build_datamanager,
    build_model,
    check,
    device_of,
    test_options,
)
from nr3d.version import versions
from nr3d.weights import available, fetch
from nr3d.weights.cache import sha256_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Extraction:
    """What an extraction did.

    Args:
        path: the store.
        counts: tracklets of each split that it holds now.
        extracted: tracklets that were extracted in this run; the others were there.
        frames: of those.
        seconds: that it took.
        precision: that was computed in.
        bad_frames: that could not be read and were left out of what the store holds.
    """

    path: Path
    counts: dict[str, int]
    extracted: int
    frames: int
    seconds: float
    precision: str
    bad_frames: Sequence[str]


def extract(
    cfg: CfgNode, out: str | Path, splits: Sequence[str] = SPLITS, dtype: str = "float32"
) -> Extraction:
    """Extract the features of a dataset into a store, in all processes that torchrun started.

    A store that is there is gone on with: only what it lacks is extracted.

    Args:
        cfg: a whole configuration, with one target dataset and ``model.load_weights``.
        out: the store.
        splits: of ``'train'``, ``'query'``, ``'gallery'``.
        dtype: that features are kept in, ``'float32'`` or ``'float16'``.

    Raises:
        Nr3dError: for anything that the user can mend; the message says how.
    """
    check(cfg)
    unknown = [split for split in splits if split not in SPLITS]
    if unknown or not splits:
        raise ConfigError(f"the splits are {list(splits)}, expected some of {', '.join(SPLITS)}")
    if Path(out).is_dir():
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
    with parallel.joined(cfg.use_gpu):
        return _extract(cfg, Path(out), splits, dtype)


def _extract(cfg: CfgNode, out: Path, splits: Sequence[str], dtype: str) -> Extraction:
    started = time.perf_counter()
    world = parallel.world()
    torchreid.utils.set_random_seed(cfg.train.seed)
    datamanager = build_datamanager(cfg, training=False)
    model = build_model(cfg, datamanager.num_train_pids, pretrained=False, whole=True)
    inference = Inference(model, device_of(cfg), test_options(cfg).inference)
    everything = _tracklets(datamanager)
    tracklets = {split: everything[split] for split in SPLITS if split in splits}
    origin = _origin(cfg, inference.precision.name, dtype, everything)

    # Each of several processes writes a store of its own, which the first takes in at the end; or
    # at the next start, whatever number of processes that one has.
    own = out if world.size == 1 else _part(out, world.rank)
    have, before = parallel.of_first(
        _taken_over(out, _take_in(out, origin, splits), everything) if world.first else None
    )
    extracted, frames = 0, 0
    with FeatureWriter(own, origin, splits) as writer:
        for row in _rows(cfg, datamanager, inference, tracklets, have):
            writer.append(row)
            extracted, frames = extracted + 1, frames + row.frames
        writer.finish()
    done = parallel.of_all((extracted, frames, sorted(datamanager.bad_frames)))
    counts: dict[str, int] = {}
    if world.first:
        _take_in(out, origin, splits)
        store = FeatureStore(out)
        store.require(*tracklets)
        counts = store.counts
    return Extraction(
        path=out,
        counts=parallel.of_first(counts),
        extracted=sum(one for one, _, _ in done),
        frames=sum(one for _, one, _ in done),
        seconds=time.perf_counter() - started,
        precision=inference.precision.name,
        bad_frames=sorted({*before, *(path for _, _, bad in done for path in bad)}),
    )


def _tracklets(datamanager: ClipDataManager) -> dict[str, TestTracklets]:
    """Give the tracklets of each split of the target dataset, their frames in order of time."""
    (name,) = datamanager.targets
    of_test: dict[str, TestTracklets] = {
        part: loader.tracklets for part, loader in datamanager.test_loader[name].items()
    }
    train = datamanager.frame_loader(datamanager.train_tracklets, []).tracklets
    return {"train": train, **of_test}


def _rows(
    cfg: CfgNode,
    datamanager: ClipDataManager,
    inference: Inference,
    tracklets: dict[str, TestTracklets],
    have: set[tuple[str, int]],
) -> Iterator[Row]:
    """Extract this process's share of the tracklets that a store lacks."""
    world = parallel.world()
    for split, of_split in tracklets.items():
        if not of_split:
            logger.warning("The %s split of %s is empty.", split, datamanager.targets[0])
        left = [index for index in range(len(of_split)) if (split, index) not in have]
        if len(left) < len(of_split):
            logger.info("%s: %d of %d are there", split, len(of_split) - len(left), len(of_split))
        loader = datamanager.frame_loader(of_split, left[world.rank :: world.size])
        found = extract_each(loader, inference, pooling=cfg.video.pooling_method, name=split)
        for each in found:
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
    precision: str,
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
        settings={**features_settings(config), "precision": precision},
        config=config,
        versions=versions(),
        tracklets={split: len(tracklets[split]) for split in SPLITS},
        dtype=dtype,
    )


def _part(out: Path, rank: int) -> Path:
    return out.with_name(f".{out.name}.part{rank}")


def _take_in(out: Path, origin: Origin, splits: Sequence[str]) -> Sequence[Row]:
    """Add what the processes of this or an earlier run wrote on their own to the store.

    Returns:
        Sequence: the rows that it has.
    """
    with FeatureWriter(out, origin, splits) as writer:
        # A killed process leaves its part, what it wrote of one, or a lock.
        named = re.compile(rf"\.?\.{re.escape(out.name)}\.part(\d+)(\..+\.partial|\.lock)?")
        found = [named.fullmatch(file.name) for file in out.parent.iterdir()]
        ranks = sorted({int(match[1]) for match in found if match})
        writer.take_in([_part(out, rank) for rank in ranks])
        return writer.rows


def _taken_over(
    out: Path, rows: Sequence[Row], tracklets: Mapping[str, TestTracklets]
) -> tuple[set[tuple[str, int]], list[str]]:
    """Check that earlier runs extracted what the dataset has now.

    Returns:
        tuple: (split, index) of the rows; and the frames that were left out of them.

    Raises:
        FeatureStoreError: if the dataset no longer has the tracklets in their places, or other
            frames of them can be read.
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
                    f"frames, and {readable} of it can be read now: the dataset has changed. "
                    "Extract it into another file."
                )
    return {row.key for row in rows}, left_out


def _called(name: str, pid: int, camid: int) -> str:
    return f"{name} of person {pid}, camera {camid}"


def evaluate(path: str | Path, changes: Sequence[str] = ()) -> dict[str, TestResult]:
    """Test from a feature store, without a network or images.

    Args:
        path: the store, with query and gallery.
        changes: keys and values in turn that change the configuration it was made with; of keys
            that a ranking depends on, such as those of ``test``.

    Returns:
        dict: the results by protocol; the one that counts is the first.

    Raises:
        FeatureStoreError: if the store is not usable, or does not have all queries and gallery.
        DataError: if there is nothing to rank.
        ConfigError: for a key or value that is not usable.
    """
    refuse_unused(changes, Command.FEATURES)
    store = FeatureStore(path)
    cfg = _ranking_config(store, changes)
    check(cfg)
    store.require("query", "gallery")
    judgement = judge(
        store.origin.dataset,
        store.load("query"),
        store.load("gallery"),
        ranks=cfg.test.ranks,
        options=test_options(cfg, whole=True),
        device=device_of(cfg),
        dist_metric=cfg.test.dist_metric,
        normalize_feature=cfg.test.normalize_feature,
        rerank=cfg.test.rerank,
    )
    return dict(judgement.results)


def _ranking_config(store: FeatureStore, changes: Sequence[str]) -> CfgNode:
    """Give what a store's configuration says of the ranking, changed.

    Its other keys do not matter here, and may be another version's.
    """
    given = dict(leaves(store.origin.config))
    made = [key for key in keys_that_change(Scope.FEATURES, Command.EXTRACT) if key.name in given]
    try:
        check_values(given, made)
    except ConfigError as error:
        raise FeatureStoreError(
            f"{store.path} was made with a setting that has no meaning ({error}): extract the "
            "features again."
        ) from error
    used = {
        name: value
        for name, value in given.items()
        if name in KEYS and KEYS[name].commands & Command.FEATURES
    }
    return config_of(used, changes)
