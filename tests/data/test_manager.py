"""Clips from torchreid's datasets, through the data manager."""

from __future__ import annotations

import glob
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nr3d.config import load_config
from nr3d.data import ClipDataManager, SeededSampler
from nr3d.errors import ConfigError, DataError, FrameError
from nr3d.host import torchreid
from nr3d.parallel import World
from nr3d.runs.building import build_datamanager


def manager(root: Path, **options: Any) -> ClipDataManager:
    defaults: dict[str, Any] = {
        "root": root,
        "sources": "mars",
        "height": 32,
        "width": 16,
        "batch_size_train": 8,
        "num_instances": 2,
        "workers": 0,
        "seq_len": 4,
    }
    return ClipDataManager(**(defaults | options))


def fingerprint(loader: Any, epochs: int = 1) -> list[tuple[Any, ...]]:
    """Everything in the loader's batches, as comparable values."""
    return [
        tuple(
            sorted(
                (key, value.numpy().tobytes() if isinstance(value, torch.Tensor) else value)
                for key, value in batch.items()
            )
        )
        for _ in range(epochs)
        for batch in loader
    ]


def test_it_is_torchreids_video_data_manager(mars_root: Path) -> None:
    data = manager(mars_root)
    assert isinstance(data, torchreid.data.VideoDataManager)
    assert (data.num_train_pids, data.num_train_cams) == (8, 2)
    assert (data.sources, data.targets, data.data_type) == (["mars"], ["mars"], "video")
    assert (data.height, data.width) == (32, 16)
    query, gallery = data.fetch_test_loaders("mars")
    assert (len(query), len(gallery)) == (8, 8)


def test_training_batches(mars_root: Path) -> None:
    data = manager(mars_root, transforms=["random_flip", "random_erase"])
    batches = list(data.train_loader)
    assert len(batches) == len(data.train_loader) == 4
    for batch in batches:
        assert batch["img"].shape == (8, 4, 3, 32, 16)
        assert batch["img"].dtype == torch.float32
        assert batch["erased"].shape == (8, 4)
        assert set(batch["erased"].flatten().tolist()) <= {0.0, 1.0}
        assert set(batch) == {"img", "pid", "camid", "dsetid", "erased", "tracklet"}
        pids, counts = batch["pid"].unique(return_counts=True)
        assert len(pids) == 4
        assert counts.tolist() == [2, 2, 2, 2]
    assert torch.cat([batch["erased"] for batch in batches]).mean() > 0.2


@pytest.mark.parametrize("workers", [0, 2])
def test_test_batches_are_full_and_hold_every_frame_once(mars_root: Path, workers: int) -> None:
    data = manager(mars_root, batch_size_test=7, workers=workers)
    loader = data.test_loader["mars"]["query"]
    batches = list(loader)
    assert len(batches) == len(loader) == 6
    assert [batch["img"].shape for batch in batches] == [(7, 32, 16, 3)] * 5 + [(5, 32, 16, 3)]
    # 8 tracklets of 5 frames, one after the other.
    indices = torch.cat([batch["tracklet"] for batch in batches])
    assert indices.tolist() == [index for index in range(8) for _ in range(5)]
    assert [batch["complete"] for batch in batches] == [[0], [1], [2, 3], [4], [5, 6], [7]]
    pixels = torch.cat([batch["img"] for batch in batches])
    alone = [loader.tracklets.pixels(index, p, []) for index in range(8) for p in range(5)]
    assert torch.equal(pixels, torch.from_numpy(np.stack(alone)))
    assert loader.tracklets.clips(5) == [[0, 1, 2, 3], [4, 4, 4, 4]]


def test_evenly_tests_one_clip_a_tracklet(mars_root: Path) -> None:
    data = manager(mars_root, test_sample_method="evenly", batch_size_test=100)
    (batch,) = data.test_loader["mars"]["gallery"]
    assert batch["tracklet"].bincount().tolist() == [4] * 8
    assert data.test_loader["mars"]["gallery"].tracklets.clips(4) == [[0, 1, 2, 3]]


def test_what_a_network_sees_of_a_frame_is_the_same_in_training_and_test(mars_root: Path) -> None:
    data = manager(mars_root, transforms=[])
    tracklets = data.test_loader["mars"]["query"].tracklets
    frame = tracklets.read(0, 0, [])
    assert frame is not None
    (clip,), _ = data.transform_tr([frame], np.random.default_rng(0))
    pixels = torch.from_numpy(np.array(tracklets.pixels(0, 0, [])))
    assert torch.equal(clip, tracklets.transform.normalise(pixels[None])[0])


@pytest.mark.parametrize("sampler", ["RandomIdentitySampler", "RandomSampler"])
def test_same_seed_same_batches_with_any_number_of_workers(mars_root: Path, sampler: str) -> None:
    def batches(workers: int, seed: int) -> list[Any]:
        random.seed(workers)  # whatever was drawn before
        np.random.seed(workers)
        torch.manual_seed(workers)
        data = manager(mars_root, workers=workers, seed=seed, train_sampler=sampler)
        return fingerprint(data.train_loader, epochs=2)

    alone = batches(0, seed=5)
    assert batches(1, seed=5) == alone
    assert batches(2, seed=5) == alone
    assert batches(0, seed=6) != alone
    half = len(alone) // 2
    assert alone[:half] != alone[half:], "two epochs are the same"


@pytest.mark.parametrize("workers", [0, 2])
def test_cached_frames_give_the_same_batches(mars_root: Path, workers: int) -> None:
    plain = fingerprint(manager(mars_root).train_loader, epochs=2)
    cached = manager(mars_root, cache_frames=True, workers=workers)
    assert fingerprint(cached.train_loader, epochs=2) == plain
    if workers == 0:
        assert cached.train_loader.dataset.dataset.cache


def test_an_epoch_can_be_drawn_again(mars_root: Path) -> None:
    data = manager(mars_root, seed=3)
    third = [fingerprint(data.train_loader) for _ in range(3)][2]
    again = manager(mars_root, seed=3)
    again.train_loader.set_epoch(2)
    assert fingerprint(again.train_loader) == third


def test_sampling_leaves_the_global_random_states_alone(mars_root: Path) -> None:
    sampler = SeededSampler(manager(mars_root).train_loader.sampler.sampler, seed=1)
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    expected = random.random(), np.random.rand(), torch.rand(1)
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    list(sampler)
    assert (random.random(), np.random.rand(), torch.rand(1)) == expected


def test_labels_follow_the_identities_not_a_sets_order(mars_root: Path) -> None:
    data = manager(mars_root)
    labels = {int(Path(paths[0]).parent.name): pid for paths, pid, _, _ in data.train_tracklets}
    assert labels == {1: 0, 3: 1, 5: 2, 9: 3, 11: 4, 20: 5, 300: 6, 1001: 7}


def test_labels_do_not_depend_on_the_hash_seed(prid_root: Path) -> None:
    code = (
        "import sys, nr3d; from nr3d.data import ClipDataManager\n"
        "d = ClipDataManager(root=sys.argv[1], sources='prid2011', combineall=True, workers=0,\n"
        "                    batch_size_train=4, num_instances=2)\n"
        "print([(p[0].split('multi_shot')[1], pid) for p, pid, _, _ in d.train_tracklets])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code, str(prid_root)],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert "person_0004" in outputs.pop()


def test_frames_are_in_time_order_whatever_the_file_system_returns(
    prid_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = glob.glob

    def shuffled(*args: Any, **options: Any) -> list[str]:
        found = sorted(original(*args, **options))
        random.Random(4).shuffle(found)
        return found

    monkeypatch.setattr(glob, "glob", shuffled)
    data = manager(prid_root, sources="prid2011", batch_size_train=4)
    tracklets = [*data.train_tracklets, *data.test_dataset["prid2011"]["query"]]
    datasets = [
        data.train_loader.dataset.dataset,
        data.test_loader["prid2011"]["query"].tracklets,
        data.test_loader["prid2011"]["gallery"].tracklets,
    ]
    assert tracklets
    for dataset in datasets:
        for paths, *_ in dataset.tracklets:
            assert [int(Path(path).stem) for path in paths] == list(range(1, 11))
    for paths, *_ in data.test_dataset["prid2011"]["query"]:
        assert [int(Path(path).stem) for path in paths] == list(range(1, 11))


def test_several_sources_are_joined(own_mars_root: Path, prid_root: Path) -> None:
    (prid_root / "mars").symlink_to(own_mars_root / "mars")
    data = manager(prid_root, sources=["mars", "prid2011"], targets="prid2011")
    assert data.num_train_pids == 4 + 2
    assert {dsetid for *_, dsetid in data.train_tracklets} == {0, 1}
    assert {pid for _, pid, _, dsetid in data.train_tracklets if dsetid} == {4, 5}
    assert list(data.test_loader) == ["prid2011"]


def break_frames(root: Path, pattern: str) -> list[Path]:
    paths = sorted((root / "mars").glob(pattern))
    for path in paths:
        path.write_bytes(path.read_bytes()[:200])
    assert paths
    return paths


@pytest.mark.parametrize("workers", [0, 2])
def test_a_truncated_frame_is_one_clear_error(own_mars_root: Path, workers: int) -> None:
    (path,) = break_frames(own_mars_root, "bbox_test/0002/0002C1T0001F003.jpg")
    data = manager(own_mars_root, workers=workers)
    with pytest.raises(FrameError) as caught:
        list(data.test_loader["mars"]["query"])
    message = str(caught.value)
    assert message.startswith(f"Frame {path} of tracklet 0002/0002C1T0001F001 (pid 2, camid 0")
    assert "Traceback" not in message
    assert "data.bad_frames" in message


@pytest.mark.parametrize("workers", [0, 2])
def test_skip_goes_on_with_the_other_frames_and_counts(own_mars_root: Path, workers: int) -> None:
    bad = break_frames(own_mars_root, "bbox_*/*/*C1T0001F00[24].jpg")
    gone = own_mars_root / "mars" / "bbox_train" / "0001" / "0001C2T0001F001.jpg"
    gone.unlink()
    data = manager(own_mars_root, workers=workers, bad_frames="skip", seq_len=3)
    for _ in range(12):
        for batch in data.train_loader:
            assert batch["img"].shape[1:] == (3, 3, 32, 16)
    train_bad = {str(path) for path in [*bad, gone] if "bbox_train" in str(path)}
    assert data.bad_frames == train_bad
    frames = torch.cat([batch["tracklet"] for batch in data.test_loader["mars"]["query"]])
    assert set(frames.bincount().tolist()) == {3, 5}
    assert {p for p in data.bad_frames if "bbox_test" in p} == {
        str(path) for path in bad if "bbox_test" in str(path)
    }


def test_skipping_equals_a_tracklet_without_the_frame(own_mars_root: Path) -> None:
    data = manager(own_mars_root, bad_frames="skip", batch_size_test=5)
    whole = next(iter(data.test_loader["mars"]["query"]))["img"]
    break_frames(own_mars_root, "bbox_test/0002/0002C1T0001F002.jpg")
    skipped = next(iter(data.test_loader["mars"]["query"]))
    assert skipped["complete"] == [0]
    assert torch.equal(skipped["img"], whole[[0, 2, 3, 4]])


@pytest.mark.parametrize("bad_frames", ["error", "skip"])
def test_a_tracklet_without_a_readable_frame_is_an_error(
    own_mars_root: Path, bad_frames: str
) -> None:
    break_frames(own_mars_root, "bbox_train/0003/*.jpg")
    data = manager(own_mars_root, bad_frames=bad_frames)
    with pytest.raises(DataError, match="0003"):
        list(data.train_loader)


def test_a_batch_of_more_identities_than_there_are_says_what_fits(mars_root: Path) -> None:
    with pytest.raises(DataError, match=r"takes 16 identities.*has 8.*at most 32"):
        manager(mars_root, batch_size_train=64, num_instances=4)
    with pytest.raises(ValueError, match=r"train.batch_size is 9, expected a multiple of"):
        manager(mars_root, batch_size_train=9)
    with pytest.raises(DataError, match="at most 32"):
        manager(mars_root, batch_size_train=64, train_sampler="RandomSampler")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sources": "nonsense"}, "nonsense.*expected to be one of"),
        ({"root": "/nowhere/at/all"}, "no folder /nowhere/at/all"),
        ({"sources": "prid2011"}, "'prid2011' cannot be loaded from"),
        ({"sources": "ilidsvid"}, "'ilidsvid' cannot be loaded from"),
    ],
)
def test_a_missing_dataset_says_which_and_what_to_do(
    mars_root: Path, options: dict[str, str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        manager(**({"root": mars_root} | options))
    assert [path.name for path in mars_root.iterdir()] == ["mars"], "something was left behind"


@pytest.mark.parametrize("name", ["train_name.txt", "tracks_test_info.mat", "query_IDX.mat"])
def test_a_missing_or_damaged_table_is_named(own_mars_root: Path, name: str) -> None:
    path = own_mars_root / "mars" / "info" / name
    whole = path.read_bytes()
    path.unlink()
    with pytest.raises(DataError, match=name):
        manager(own_mars_root)
    path.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(DataError, match="'mars' cannot be loaded from"):
        manager(own_mars_root)


@pytest.mark.parametrize(
    "options", [{"sample_method": "x"}, {"test_sample_method": "x"}, {"bad_frames": "x"}]
)
def test_unknown_choices_name_the_choices(mars_root: Path, options: dict[str, str]) -> None:
    (key,) = options
    with pytest.raises(ValueError, match=rf"{key.removeprefix('test_')} is 'x', expected one of"):
        manager(mars_root, **options)


def test_stock_loaders_and_ours_agree_on_the_sets(mars_root: Path) -> None:
    stock = torchreid.data.VideoDataManager(
        root=str(mars_root), sources="mars", workers=0, seq_len=4
    )
    ours = manager(mars_root)
    assert stock.num_train_pids == ours.num_train_pids
    for part in ("query", "gallery"):
        assert [
            (tuple(paths), pid, camid) for paths, pid, camid, _ in stock.test_dataset["mars"][part]
        ] == [(paths, pid, camid) for paths, pid, camid, _ in ours.test_dataset["mars"][part]]


def test_footage_loads(footage: Path) -> None:
    data = manager(footage, batch_size_train=8, num_instances=4, seq_len=4)
    assert data.num_train_pids == 10
    assert len(data.train_tracklets) == 40
    query, gallery = data.fetch_test_loaders("mars")
    assert (len(query), len(gallery)) == (8, 24)
    assert next(iter(data.train_loader))["img"].shape == (8, 4, 3, 32, 16)


@pytest.mark.parametrize(
    ("processes", "batch", "sync", "told"),
    [
        (1, 1, False, "train.batch_size is 1, expected at least 2 clips"),
        (1, 1, True, "train.batch_size is 1, expected at least 2 clips"),
        (2, 2, False, "is 2 for 2 processes, a single clip for each, expected at least 4 clips"),
        (2, 2, True, ""),
        (1, 2, False, ""),
    ],
)
def test_a_training_by_single_clips_is_refused_at_the_start(
    processes: int, batch: int, sync: bool, told: str, mars_root: Path, monkeypatch: Any
) -> None:
    """A norm has no variance of one clip's features."""
    for module in ("runs.building", "data.manager"):
        monkeypatch.setattr(f"nr3d.{module}.world", lambda: World(0, processes))
    changes = ["data.root", mars_root, "train.batch_size", batch, "sampler.num_instances", 1]
    changes += ["train.sync_norms", sync, "data.workers", 0]
    cfg = load_config("synthetic", [str(word) for word in changes])
    if not told:
        assert len(next(iter(build_datamanager(cfg).train_loader))["img"]) == batch // processes
        return
    with pytest.raises(ConfigError, match=told):
        build_datamanager(cfg)
    build_datamanager(cfg, training=False)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"train_sampler": "RandomDomainSampler", "num_cams": 3},
            "sampler.num_cams is 3, expected at most 2",
        ),
        (
            {"train_sampler": "RandomDomainSampler", "num_cams": 2, "batch_size_train": 7},
            r"train.batch_size is 7, expected a multiple of the 2 cameras in it \(sampler.num_cams",
        ),
        (
            {"train_sampler": "RandomDomainSampler", "num_cams": 1, "batch_size_train": 20},
            r"train.batch_size is 20, expected at most 16: of the cameras, 1 in it .*16 tracklets",
        ),
        (
            {"train_sampler": "RandomDatasetSampler", "num_datasets": 2},
            "sampler.num_datasets is 2, expected at most 1",
        ),
    ],
)
def test_batches_that_cannot_be_drawn_are_told_by_key(
    mars_root: Path, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        manager(mars_root, **options)
    options = {**options, "num_cams": 0, "num_datasets": 0, "batch_size_train": 8}
    assert len(next(iter(manager(mars_root, **options).train_loader))["pid"]) == 8
