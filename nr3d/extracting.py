"""The features of a dataset into a feature store, and a test from one."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from yacs.config import CfgNode

from nr3d import parallel
from nr3d.building import as_mapping, build_datamanager, build_model, check, device_of, test_options
from nr3d.config import config_of
from nr3d.data import ClipDataManager, TestTracklets, Tracklet
from nr3d.engine import Inference, TestResult, extract_each, judge
from nr3d.engine.extraction import name_of
from nr3d.errors import ConfigError, DataError
from nr3d.features import SPLITS, FeatureStore, FeatureWriter, Origin, Row
from nr3d.features.layout import DTYPES
from nr3d.host import torchreid
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
        bad_frames: that could not be read and were left out.
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
    origin = _origin(cfg, inference.precision.name, dtype)
    tracklets = _tracklets(datamanager, splits)

    # Each of several processes writes a store of its own, which the first takes in at the end; or
    # at the next start, whatever number of processes that one has.
    own = out if world.size == 1 else _part(out, world.rank)
    if world.first:
        _take_in(out, origin)
    have = parallel.of_first(FeatureStore(out).keys() if world.first else None)
    extracted, frames = 0, 0
    with FeatureWriter(own, origin) as writer:
        for row in _rows(cfg, datamanager, inference, tracklets, have):
            writer.append(row)
            extracted, frames = extracted + 1, frames + len(row.frame_weights)
        if world.size == 1:
            writer.finish()
        else:
            writer.write()
    done = parallel.of_all((extracted, frames, sorted(datamanager.bad_frames)))
    if world.first:
        _take_in(out, origin, complete=True)
    return Extraction(
        path=out,
        counts=parallel.of_first(FeatureStore(out).counts if world.first else None),
        extracted=sum(one for one, _, _ in done),
        frames=sum(one for _, one, _ in done),
        seconds=time.perf_counter() - started,
        precision=inference.precision.name,
        bad_frames=sorted({path for _, _, bad in done for path in bad}),
    )


def _tracklets(
    datamanager: ClipDataManager, splits: Sequence[str]
) -> dict[str, Sequence[Tracklet] | TestTracklets]:
    """Give the tracklets of each split of the target dataset."""
    (name,) = datamanager.targets
    unknown = [split for split in splits if split not in SPLITS]
    if unknown or not splits:
        raise ConfigError(f"the splits are {list(splits)}, expected some of {', '.join(SPLITS)}")
    of_test: dict[str, TestTracklets] = {
        part: loader.tracklets for part, loader in datamanager.test_loader[name].items()
    }
    everything: dict[str, Sequence[Tracklet] | TestTracklets]
    everything = {"train": datamanager.train_tracklets, **of_test}
    return {split: everything[split] for split in SPLITS if split in splits}


def _rows(
    cfg: CfgNode,
    datamanager: ClipDataManager,
    inference: Inference,
    tracklets: dict[str, Sequence[Tracklet] | TestTracklets],
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


def _origin(cfg: CfgNode, precision: str, dtype: str) -> Origin:
    weights = str(cfg.model.load_weights)
    path = fetch(weights) if weights in available() else Path(weights)
    return Origin(
        dataset=cfg.data.targets[0],
        weights=weights,
        weights_sha256=sha256_of(path),
        settings={
            "model": cfg.model.name,
            "aggregation": cfg.not3d.aggregation,
            "split_id": cfg.data.split_id,
            "height": cfg.data.height,
            "width": cfg.data.width,
            "norm_mean": list(cfg.data.norm_mean),
            "norm_std": list(cfg.data.norm_std),
            "seq_len": cfg.video.seq_len,
            "sample_method": cfg.not3d.test_sample_method,
            "pooling_method": cfg.video.pooling_method,
            "bad_frames": cfg.data.bad_frames,
            "precision": precision,
        },
        config=as_mapping(cfg),
        versions=versions(),
        dtype=dtype,
    )


def _part(out: Path, rank: int) -> Path:
    return out.with_name(f".{out.name}.part{rank}")


def _take_in(out: Path, origin: Origin, *, complete: bool = False) -> None:
    """Add what the processes of this or an earlier run wrote on their own to the store."""
    before = f".{out.name}.part"
    with FeatureWriter(out, origin) as writer:
        parts = [
            file
            for file in sorted(out.parent.iterdir())
            if file.name.startswith(before) and file.name.removeprefix(before).isdecimal()
        ]
        if parts:
            writer.take_in(parts)
        if complete:
            writer.finish()


def evaluate(path: str | Path, changes: Sequence[str] = ()) -> dict[str, TestResult]:
    """Test from a feature store, without a network or images.

    Args:
        path: the store, with query and gallery.
        changes: keys and values in turn that change the configuration it was made with; those of
            ``test`` count.

    Returns:
        dict: the results by protocol; the one that counts is the first.

    Raises:
        FeatureStoreError: if the store is not usable.
        DataError: if it has no query or gallery, or is not complete.
        ConfigError: for a key or value that is not usable.
    """
    store = FeatureStore(path)
    cfg = config_of(store.origin.config, changes)
    check(cfg)
    missing = [split for split in ("query", "gallery") if split not in store.counts]
    if missing or not store.complete:
        lacks = f"no {' and no '.join(missing)}" if missing else "not all of its tracklets"
        raise DataError(
            f"{path} has {lacks}: run the nr3d extract that makes it (again), with --split "
            "query,gallery."
        )
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
