"""Data manager of clips from torchreid's datasets."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from nr3d.data.datasets.parts import KINDS
from nr3d.data.foreign import quiet
from nr3d.data.frame_batches import FrameLoader
from nr3d.data.guarded import GuardedLoader
from nr3d.data.loading import kinds_of, load_datasets, refuse_without_training
from nr3d.data.memory import free_memory
from nr3d.data.sampler import IdentityPassSampler, SeededSampler
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

EPOCHS = ("tracklets", "identities")
"""What an epoch of the identity sampler passes over once."""


class ClipLoader(GuardedLoader):
    """Loader of training clips.

    Args:
        dataset: dataset of the clips.
        bad_frames: set that takes the paths of the frames that are left out.
        options: other options of :class:`nr3d.data.guarded.GuardedLoader`.
    """

    def __init__(self, dataset: ClipDataset, bad_frames: set[str], **options: Any) -> None:
        batch_bytes = options["batch_size"] * dataset.clip_bytes
        super().__init__(
            dataset, bad_frames, collate_fn=collate, batch_bytes=batch_bytes, **options
        )
        if dataset.cache is not None:
            _warn_of_cache(dataset.cache_bytes, self.num_workers)

    def set_epoch(self, epoch: int, first_batch: int = 0) -> None:
        """Set the training epoch (from 0) of the next iteration, and its first batch."""
        if isinstance(self.sampler, SeededSampler):
            self.sampler.set_epoch(epoch, first_batch)


class ClipDataManager(torchreid.data.VideoDataManager):  # type: ignore[misc]
    """torchreid's video data, as whole clips.

    torchreid's dataset classes and samplers are used as they are, except that nr3d itself reads the
    tables and splits of the datasets that it can check. On top of that, this manager has restricted
    random sampling, a flip and a crop that are the same for all frames of a clip, random erasing of
    single frames, bicubic resizing, dense test clips, frames in time order, identity labels in a
    fixed order, and batches that depend on the seed alone.

    A training batch is a dict of ``img`` (B, T, 3, H, W), ``pid``, ``camid``, ``dsetid`` (B,) and
    ``erased`` (B, T). A test loader is a :class:`nr3d.data.FrameLoader`. With several processes,
    each gets its share of every training batch, with whole identities under the identity sampler,
    and an equal share of the test tracklets.

    Args:
        root: folder that holds the datasets' folders.
        sources: torchreid's names of the training datasets, of video or of images, or folders of
            converted datasets.
        targets: torchreid's names of the test datasets. Default is ``sources``.
        height: H, in pixels. Paper: 224.
        width: W, in pixels. Paper: 112.
        transforms: augmentations, of ``random_flip``, ``random_crop`` and ``random_erase``.
        norm_mean: means of red, green and blue, from 0 to 1. Default is ImageNet's.
        norm_std: standard deviations of red, green and blue. Default is ImageNet's.
        use_gpu: whether to pin the memory of the batches if there is a GPU.
        split_id: number of the split of a dataset that has several, from 0.
        combineall: whether to train on train, query and gallery together.
        batch_size_train: B, number of clips in a training batch of all processes together.
            Paper: 64.
        batch_size_test: N, number of frames in a test batch, of any tracklets. 0 stands for 256
            with a GPU and for 32 without.
        workers: number of loader processes, or of threads in testing without a GPU; the batches do
            not depend on it.
        num_instances: number of tracklets of an identity in a batch. Paper: 4.
        num_cams: number of cameras in a batch, for torchreid's ``RandomDomainSampler``.
        num_datasets: number of datasets in a batch, for torchreid's ``RandomDatasetSampler``.
        train_sampler: torchreid's name of the sampler.
        seq_len: T, number of frames of a clip. Paper: 4.
        sample_method: method that draws the frames of a training clip, ``restricted`` (paper),
            ``restricted_rest`` (public code), ``random``, ``consecutive`` or ``evenly``.
        test_sample_method: method that makes the clips of a test tracklet, ``dense`` (paper),
            ``evenly`` or ``whole``.
        cache_frames: whether to keep the resized training frames in memory, for a dataset that
            fits; each loader process keeps those that it has read.
        crop_padding: number of pixels added at each side before the random crop. Paper: 10.
        augment_per, erase_value, erase_aspect_draw, erase_attempts: options of the augmentation;
            see :class:`ClipTransform`.
        epoch_over: items that an epoch of ``RandomIdentitySampler`` passes over once,
            ``tracklets`` as in torchreid or ``identities``; see :class:`IdentityPassSampler`.
        max_test_clips: largest number of dense clips of a test tracklet; 0 for no limit (paper).
        bad_frames: treatment of a frame that cannot be read: ``error`` raises an error, ``skip``
            uses the other frames of the tracklet and adds the path to the attribute
            ``bad_frames``.
        seed: seed of the order and of every draw.
        pack: path of a pack of one of the datasets, which is then read from it alone, to the same
            batches; empty for none.
        training: whether the data is trained on. If False, sources may have nothing to train on.

    Attributes:
        train_loader: loader of the training clips.
        test_loader: loaders of ``query`` and ``gallery``, by target.
        test_dataset: tracklets of ``query`` and ``gallery``, by target.
        num_train_pids: number of training identities.
        num_train_cams: number of training cameras.
        train_tracklets: tracklets that are trained on, in torchreid's tuples.
        test_kinds: kind of the test tracklets of a target if they are no video, one of
            :data:`nr3d.data.datasets.parts.KINDS`, by target.
        bad_frames: paths of the frames that were left out so far.

    Raises:
        DataError: if a dataset or one of its files is missing or does not fit; the message says
            which.
        ValueError: if a transform, method or sampler has an unknown name.

    Examples:
        >>> datamanager = ClipDataManager(root="reid-data", sources="mars")  # doctest: +SKIP
        >>> for batch in datamanager.train_loader:  # doctest: +SKIP
        ...     print(batch["img"].shape)
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
        augment_per: str = "clip",
        erase_value: str = "zero",
        erase_aspect_draw: str = "log_uniform",
        erase_attempts: int = 100,
        epoch_over: str = "tracklets",
        max_test_clips: int = 0,
        training: bool = True,
    ) -> None:
        transforms = [transforms] if isinstance(transforms, str) else list(transforms)
        sources = list(sources) if isinstance(sources, (list, tuple)) else sources
        targets = list(targets) if isinstance(targets, (list, tuple)) else targets
        # VideoDataManager's own __init__ builds frame-wise loaders, and loads every dataset three
        # times for them. Its base class is initialised instead, and the loaders are built here.
        with quiet():
            super(torchreid.data.VideoDataManager, self).__init__(
                sources=sources, targets=targets, height=height, width=width, use_gpu=use_gpu
            )
        self.transform_tr = ClipTransform(
            height,
            width,
            transforms,
            norm_mean,
            norm_std,
            padding=crop_padding,
            augment_per=augment_per,
            erase_value=erase_value,
            erase_aspect_draw=erase_aspect_draw,
            erase_attempts=erase_attempts,
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
        self.test_kinds = kinds_of(loaded, self.targets, "test")
        if training:
            refuse_without_training(loaded, self.sources)
            for name, kind in kinds_of(loaded, self.sources, "train").items():
                logger.info("%s trains on %s: %s", name, kind, KINDS[kind])
        trainset = loaded[self.sources[0]]
        for name in self.sources[1:]:
            trainset = trainset + loaded[name]
        self.train_tracklets = canonical_labels(trainset.train)
        self._num_train_pids = len({pid for _, pid, _, _ in self.train_tracklets})
        self._num_train_cams = len({camid for _, _, camid, _ in self.train_tracklets})
        sampler = self._build_sampler(
            train_sampler, batch_size_train, num_instances, num_cams, num_datasets, epoch_over
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
            "max_clips": max_test_clips,
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
        """Return a loader that reads tracklets as a test does.

        Args:
            tracklets: torchreid's tuples, or the tracklets of another such loader.
            order: indices of the tracklets to read, in this order. Default is this process's share:
                of N processes, the one of rank r reads every N-th from r on.
        """
        if not isinstance(tracklets, TestTracklets):
            tracklets = TestTracklets(tracklets, **self._test_options)
        if order is None:
            order = range(world().rank, len(tracklets), world().size)
        return FrameLoader(tracklets, order, **self._frame_options)

    def _build_sampler(
        self,
        name: str,
        batch_size: int,
        num_instances: int,
        num_cams: int,
        num_datasets: int,
        epoch_over: str,
    ) -> Any:
        if not self.train_tracklets:  # of data that is only tested
            return torch.utils.data.SequentialSampler([])
        known = torchreid.data.sampler.AVAI_SAMPLERS
        if name not in known:
            raise ValueError(f"sampler.train_sampler is {name!r}, expected one of {known}")
        if epoch_over not in EPOCHS:
            raise ValueError(f"epoch_over is {epoch_over!r}, expected one of {list(EPOCHS)}")
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
        if epoch_over == "identities" and name == "RandomIdentitySampler":
            pids = [pid for _, pid, _, _ in self.train_tracklets]
            return IdentityPassSampler(pids, num_instances)
        return torchreid.data.sampler.build_train_sampler(
            self.train_tracklets,
            name,
            batch_size=batch_size,
            num_instances=num_instances,
            num_cams=num_cams,
            num_datasets=num_datasets,
        )


def _warn_of_cache(size: int, workers: int) -> None:
    """Log a warning if the frames that are kept may not fit into the memory."""
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
    """Refuse a batch that cannot be drawn in equal parts from groups of the tracklets.

    Args:
        key: name of the configuration key that sets the number of groups in a batch.
        count: value of the key; 0 or less stands for all groups.
        what: name of the groups, in the plural.
        groups: number of tracklets of each group.
        batch_size: number of clips of a batch.

    Raises:
        ValueError: if the batch cannot be drawn.
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
    """Renumber training identities by the path of their first frame, dataset by dataset.

    torchreid's loaders number identities in the order of a ``set``. Labels must not depend on that
    order, since the classifier and the centers of a checkpoint are stored by label.

    Args:
        tracklets: training tracklets, in torchreid's tuples.

    Returns:
        list: the same tracklets with other pids.
    """
    first: dict[int, tuple[int, str]] = {}
    for paths, pid, _, dsetid in tracklets:
        path = min(paths, default="")
        first[pid] = min(first.get(pid, (dsetid, path)), (dsetid, path))
    label = {pid: position for position, pid in enumerate(sorted(first, key=lambda p: first[p]))}
    return [(paths, label[pid], camid, dsetid) for paths, pid, camid, dsetid in tracklets]
