"""Clips from torchreid's datasets: the data manager that the method needs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nr3d.data.frame_batches import FrameLoader
from nr3d.data.guarded import GuardedLoader
from nr3d.data.loading import load_datasets, quiet
from nr3d.data.memory import free_memory
from nr3d.data.sampler import SeededSampler
from nr3d.data.tracklets import (
    ClipDataset,
    TestTracklets,
    Tracklet,
    collate,
)
from nr3d.data.transforms import ClipTransform
from nr3d.errors import DataError
from nr3d.host import torchreid
from nr3d.parallel import world

logger = logging.getLogger(__name__)


class ClipLoader(GuardedLoader):
    """A loader of training clips."""

    def __init__(self, dataset: ClipDataset, bad_frames: set[str], **options: Any) -> None:
        batch_bytes = options["batch_size"] * dataset.clip_bytes
        super().__init__(
            dataset, bad_frames, collate_fn=collate, batch_bytes=batch_bytes, **options
        )
        if dataset.cache is not None:
            _warn_of_cache(dataset.cache_bytes, self.num_workers)

    def set_epoch(self, epoch: int, first_batch: int = 0) -> None:
        """Say which training epoch (from 0) the next iteration is, and which batch its first."""
        if isinstance(self.sampler, SeededSampler):
            self.sampler.set_epoch(epoch, first_batch)


class ClipDataManager(torchreid.data.VideoDataManager):  # type: ignore[misc]
    """torchreid's video data, as whole clips.

    torchreid's dataset classes and samplers are used as they are, but that nr3d reads the tables
    and splits of the datasets that it checks. On top of them: restricted random sampling, flip and
    crop the same over a clip, random erasing per frame with the batch telling which frames were
    ``erased``, bicubic resize, dense test clips, frames in time order, identity labels in a fixed
    order, and batches that depend on the seed alone.

    A training batch is a dict of ``img`` (B, T, 3, H, W), ``pid``, ``camid``, ``dsetid`` (B,) and
    ``erased`` (B, T). A test loader is a :class:`nr3d.data.FrameLoader`.
    With several processes each gets its part of every training batch, whole identities with the
    identity sampler, and every so many-th test tracklet.

    Args:
        root: folder that holds the datasets' folders.
        sources: training dataset(s), by torchreid's names.
        targets: test dataset(s). Default is ``sources``.
        height, width: H and W in pixels. Default is the paper's 224 and 112.
        transforms: of ``random_flip``, ``random_crop``, ``random_erase``.
        norm_mean, norm_std: None is ImageNet's.
        use_gpu: pin the batches' memory where there is a GPU.
        split_id: split of PRID2011 and iLIDS-VID, from 0.
        combineall: train on train, query and gallery together.
        batch_size_train: B, clips in a training batch, of all processes together. Paper: 64.
        batch_size_test: N, frames in a test batch, whatever their tracklets. 0 is 256 with a GPU
            and 32 without.
        workers: loader processes, or without a GPU for testing threads; the batches are the same
            with any number.
        num_instances: tracklets of an identity in a batch. Paper: 4.
        num_cams, num_datasets: as torchreid's, for its other samplers.
        train_sampler: torchreid's sampler name. Default is ``RandomIdentitySampler``.
        seq_len: T, frames of a clip. Paper: 4.
        sample_method: training clips: ``restricted`` (paper), ``random``, ``evenly``.
        test_sample_method: test clips: ``dense`` (paper) or ``evenly``.
        cache_frames: keep the resized training frames in memory, for a dataset that fits;
            each loader process keeps those that it read.
        crop_padding: pixels added at each side before the random crop. Paper: 10.
        bad_frames: ``error``, or ``skip`` to go on with the tracklet's other frames; the
            skipped ones are in the attribute ``bad_frames``.
        seed: of the order and of every draw.
        pack: file that ``nr3d pack`` wrote of one of the datasets, which is then read from it
            alone, to the same batches; empty for none.

    Attributes:
        train_loader, test_loader, test_dataset, num_train_pids, num_train_cams: as torchreid's.
        train_tracklets: what is trained on, in torchreid's tuples.
        bad_frames: frames that were skipped so far.

    Raises:
        DataError: if a dataset or its files are not there or do not fit; the message says which.
        ValueError: for a transform, method or sampler of another name.

    Examples::
        datamanager = nr3d.data.ClipDataManager(root="path/to/reid-data", sources="mars")
        for batch in datamanager.train_loader:
            ...
    """

    def __init__(
        self,
        root: str | Path = "",
        sources: str | Sequence[str] | None = None,
        targets: str | Sequence[str] | None = None,
        height: int = 224,
        width: int = 112,
        transforms: str | Sequence[str] = ("random_flip", "random_crop", "random_erase"),
        norm_mean: Sequence[float] | None = None,
        norm_std: Sequence[float] | None = None,
        use_gpu: bool = True,
        split_id: int = 0,
        combineall: bool = False,
        batch_size_train: int = 64,
        batch_size_test: int = 0,
        workers: int = 4,
        num_instances: int = 4,
        num_cams: int = 1,
        num_datasets: int = 1,
        train_sampler: str = "RandomIdentitySampler",
        seq_len: int = 4,
        sample_method: str = "restricted",
        test_sample_method: str = "dense",
        cache_frames: bool = False,
        crop_padding: int = 10,
        bad_frames: str = "error",
        seed: int = 0,
        pack: str | Path = "",
    ) -> None:
        transforms = [transforms] if isinstance(transforms, str) else list(transforms)
        sources = list(sources) if isinstance(sources, (list, tuple)) else sources
        targets = list(targets) if isinstance(targets, (list, tuple)) else targets
        # VideoDataManager's own __init__ builds frame-wise loaders and loads every dataset three
        # times for them: its base is initialised instead, and the loaders are made here.
        with quiet():
            super(torchreid.data.VideoDataManager, self).__init__(
                sources=sources, targets=targets, height=height, width=width, use_gpu=use_gpu
            )
        self.transform_tr = ClipTransform(
            height, width, transforms, norm_mean, norm_std, padding=crop_padding
        )
        self.transform_te = ClipTransform(height, width, (), norm_mean, norm_std)
        self.seq_len = seq_len
        self.bad_frames: set[str] = set()
        clip_options: dict[str, Any] = {"seq_len": seq_len, "bad_frames": bad_frames}
        loader_options: dict[str, Any] = {
            "num_workers": workers,
            "pin_memory": self.use_gpu,
            "bad_frames": self.bad_frames,
        }

        loaded = load_datasets(
            [*self.sources, *self.targets], root, pack, split_id=split_id, combineall=combineall
        )
        trainset = loaded[self.sources[0]]
        for name in self.sources[1:]:
            trainset = trainset + loaded[name]
        self.train_tracklets = canonical_labels(trainset.train)
        self._num_train_pids = len({pid for _, pid, _, _ in self.train_tracklets})
        self._num_train_cams = len({camid for _, _, camid, _ in self.train_tracklets})
        sampler = self._build_sampler(
            train_sampler, batch_size_train, num_instances, num_cams, num_datasets
        )
        self.train_loader = ClipLoader(
            ClipDataset(
                self.train_tracklets,
                self.transform_tr,
                sample_method=sample_method,
                cache_frames=cache_frames,
                **clip_options,
            ),
            sampler=SeededSampler(sampler, seed, batch_size_train, world()),
            batch_size=batch_size_train // world().size,
            drop_last=True,
            persistent_workers=True,
            **loader_options,
        )

        self._test_options: dict[str, Any] = {
            **clip_options,
            "transform": self.transform_te,
            "sample_method": test_sample_method,
        }
        self._frame_options: dict[str, Any] = {
            "frames": batch_size_test or (256 if self.use_gpu else 32),
            "workers": workers if self.use_gpu else 0,
            "threads": 1 if self.use_gpu else max(1, workers),
            "pin_memory": self.use_gpu,
            "bad_frames": self.bad_frames,
        }
        self.test_loader: dict[str, dict[str, FrameLoader]] = {}
        self.test_dataset: dict[str, dict[str, list[Tracklet]]] = {}
        for name in self.targets:
            parts = {
                part: self.frame_loader(tracklets)
                for part, tracklets in (
                    ("query", loaded[name].query),
                    ("gallery", loaded[name].gallery),
                )
            }
            self.test_loader[name] = parts
            self.test_dataset[name] = {
                part: loader.tracklets.tracklets for part, loader in parts.items()
            }

    def frame_loader(
        self, tracklets: Sequence[Tracklet] | TestTracklets, order: Sequence[int] | None = None
    ) -> FrameLoader:
        """Read tracklets as a test does.

        Args:
            tracklets: torchreid's tuples, or those of another such loader.
            order: indices of those to read, in this order. Default is this process's share, every
                world-size-th from its rank on.
        """
        if not isinstance(tracklets, TestTracklets):
            tracklets = TestTracklets(tracklets, **self._test_options)
        if order is None:
            order = range(world().rank, len(tracklets), world().size)
        return FrameLoader(tracklets, order, **self._frame_options)

    def _build_sampler(
        self, name: str, batch_size: int, num_instances: int, num_cams: int, num_datasets: int
    ) -> Any:
        known = torchreid.data.sampler.AVAI_SAMPLERS
        if name not in known:
            raise ValueError(f"sampler.train_sampler is {name!r}, expected one of {known}")
        if batch_size < 1:
            raise ValueError(f"train.batch_size is {batch_size}, expected at least 1 clip")
        where = f"{' + '.join(self.sources)} ({len(self.train_tracklets)} training tracklets)"
        if name == "RandomIdentitySampler":
            processes = world().size
            if num_instances < 1 or batch_size % (num_instances * processes):
                shared = "" if processes == 1 else f" times the run's {processes} processes"
                raise ValueError(
                    f"train.batch_size is {batch_size}, expected a multiple of "
                    f"sampler.num_instances ({num_instances}){shared}"
                )
            identities = batch_size // num_instances
            if identities > self.num_train_pids:
                raise DataError(
                    f"A batch of {batch_size} clips takes {identities} identities x "
                    f"{num_instances} tracklets, and {where} has {self.num_train_pids} "
                    f"identities: set train.batch_size to at most "
                    f"{self.num_train_pids * num_instances}."
                )
        elif batch_size > len(self.train_tracklets):
            raise DataError(
                f"A batch of {batch_size} clips is more than {where}: set train.batch_size to at "
                f"most {len(self.train_tracklets)}."
            )
        if name == "RandomDomainSampler":
            cameras = Counter(camid for _, _, camid, _ in self.train_tracklets)
            _check_groups("sampler.num_cams", num_cams, "cameras", cameras, batch_size)
        if name == "RandomDatasetSampler":
            datasets = Counter(dsetid for _, _, _, dsetid in self.train_tracklets)
            _check_groups("sampler.num_datasets", num_datasets, "datasets", datasets, batch_size)
        return torchreid.data.sampler.build_train_sampler(
            self.train_tracklets,
            name,
            batch_size=batch_size,
            num_instances=num_instances,
            num_cams=num_cams,
            num_datasets=num_datasets,
        )


def _warn_of_cache(size: int, workers: int) -> None:
    """Say so where the frames that are kept may not fit into the memory."""
    free, copies = free_memory(), max(1, workers)
    if free is not None and size * copies > free:
        each = "" if workers < 2 else f" in each of {workers} loader processes"
        logger.warning(
            "data.cache_frames keeps up to %.1f GiB%s, and %.1f GiB of memory are free: set "
            "data.workers lower, or data.cache_frames False.",
            size / 2**30,
            each,
            free / 2**30,
        )


def _check_groups(
    key: str, count: int, what: str, groups: Mapping[int, int], batch_size: int
) -> None:
    """Refuse a batch that cannot be drawn in equal parts from some groups of the tracklets.

    Args:
        key: that says from how many groups.
        count: its value; 0 or less for all.
        what: the groups are called.
        groups: how many tracklets each has.
        batch_size: clips.
    """
    count = count if count > 0 else len(groups)
    if count > len(groups):
        raise ValueError(f"{key} is {count}, expected at most {len(groups)}: there are no more")
    if batch_size % count:
        raise ValueError(
            f"train.batch_size is {batch_size}, expected a multiple of the {count} {what} in it "
            f"({key})"
        )
    if batch_size // count > min(groups.values()):
        raise ValueError(
            f"train.batch_size is {batch_size}, expected at most {min(groups.values()) * count}: "
            f"of the {what}, {count} in it ({key}), one has {min(groups.values())} tracklets"
        )


def canonical_labels(tracklets: Sequence[Tracklet]) -> list[Tracklet]:
    """Renumber training identities by their first frame's path, dataset by dataset.

    torchreid's loaders number them in the order of a ``set``; a label must not depend on it, since
    a checkpoint's classifier and centers are kept by label.
    """
    first: dict[int, tuple[int, str]] = {}
    for paths, pid, _, dsetid in tracklets:
        path = min(paths, default="")
        first[pid] = min(first.get(pid, (dsetid, path)), (dsetid, path))
    label = {pid: position for position, pid in enumerate(sorted(first, key=lambda p: first[p]))}
    return [(paths, label[pid], camid, dsetid) for paths, pid, camid, dsetid in tracklets]
