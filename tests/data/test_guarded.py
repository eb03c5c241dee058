"""What ends a loader process is told in one line, wherever the program is at that moment."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from nr3d.data import ClipDataset, ClipTransform, FrameLoader, TestTracklets, memory, pack
from nr3d.data.guarded import GuardedLoader
from nr3d.data.manager import ClipLoader
from nr3d.data.memory import free_memory, loaders_that_fit
from nr3d.data.transforms import TRANSFORMS
from nr3d.errors import DataError

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="no signals of children")


class Doing(Dataset[Any]):
    """Does something in the loader process that makes item 2."""

    def __init__(self, what: Callable[[], object]) -> None:
        self.what = what

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index == 2:
            self.what()
        return {"img": torch.ones(3), "bad_frames": [f"{index}.jpg"]}


def loader_of(what: Callable[[], object], workers: int = 1, **options: Any) -> GuardedLoader:
    return GuardedLoader(
        Doing(what), set(), collate_fn=lambda item: item, num_workers=workers, batch_size=None,
        **options,
    )  # fmt: skip


def raising(error: BaseException) -> Callable[[], object]:
    def fail() -> None:
        raise error

    return fail


ENDS = {
    "killed": (
        lambda: os.kill(os.getpid(), signal.SIGKILL),
        r"\(Killed; pid \d+\): usually the memory is full: set data.workers or the batch size lo",
    ),
    "no shared memory": (
        lambda: os.kill(os.getpid(), signal.SIGBUS),
        r"\(Bus error; .*: usually the shared memory is full: make /dev/shm larger .*workers 0",
    ),
    "crashed": (
        lambda: os.kill(os.getpid(), signal.SIGSEGV),
        r"\(Segmentation fault; .*: find the frame that crashes its decoder with nr3d data check",
    ),
    "left": (lambda: os._exit(3), r"\(exit code 3; .*: usually the memory is full"),
}


@needs_signals
@pytest.mark.parametrize("end", ENDS)
def test_the_end_of_a_loader_process_is_one_line(end: str) -> None:
    what, message = ENDS[end]
    with pytest.raises(DataError, match=message) as caught:
        list(loader_of(what))
    text = str(caught.value)
    assert text.startswith("A process that loads frames has ended (")
    assert text.endswith("A training is resumed with model.resume and its last checkpoint.")
    assert "\n" not in text
    assert len(text) < 500


@needs_signals
def test_also_when_the_program_is_elsewhere() -> None:
    batches = iter(loader_of(lambda: time.sleep(60)))
    next(batches)
    (process,) = multiprocessing.active_children()
    with pytest.raises(DataError, match=r"has ended \(Killed; .*: usually the memory is full"):
        os.kill(process.pid, signal.SIGKILL)
        time.sleep(30)


@pytest.mark.parametrize("workers", [0, 1])
def test_no_memory_is_one_line(workers: int) -> None:
    with pytest.raises(DataError, match=r"no memory left to make a batch \(MemoryError\): set da"):
        list(loader_of(raising(MemoryError()), workers))


def test_other_errors_stay_as_they_are() -> None:
    for workers in (0, 1):
        with pytest.raises(OSError, match=r"mine"):
            list(loader_of(raising(OSError("mine")), workers))
    loader = loader_of(lambda: None, 1)
    assert len(list(loader)) == 8
    assert loader.skipped == {f"{index}.jpg" for index in range(8)}


# Shared memory


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    def set_free(free: int | None) -> None:
        monkeypatch.setattr(memory, "free_shared", lambda: free)
        monkeypatch.setattr("nr3d.data.guarded.free_shared", lambda: free)

    return set_free


@pytest.mark.parametrize(
    ("free", "fit"),
    [
        (None, (4, 3)),
        (14, (4, 3)),
        (13, (4, 2)),
        (6, (4, 1)),
        (5, (3, 1)),
        (3, (1, 1)),
        (2, (0, 3)),
        (0, (0, 3)),
    ],
)
def test_loader_processes_that_fit(
    free: int | None, fit: tuple[int, int], shared: Callable[[int | None], None]
) -> None:
    shared(None if free is None else free * 1000)
    assert loaders_that_fit(4, 3, 1000) == fit
    assert loaders_that_fit(0, 3, 1000) == (0, 3)
    assert loaders_that_fit(4, 3, 0) == (4, 3)


def test_processes_of_a_machine_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    if memory.free_shared() is None:
        pytest.skip("no /dev/shm")
    alone = memory.free_shared()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    several = memory.free_shared()
    assert alone is not None
    assert several is not None
    assert several < alone / 3
    monkeypatch.setattr(memory, "SHARED", Path("/nowhere"))
    assert memory.free_shared() is None


def test_little_shared_memory_takes_fewer_processes_and_says_so(
    shared: Callable[[int | None], None],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from PIL import Image

    paths = []
    for number in range(6):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.new("RGB", (8, 16), (40 * number, 0, 0)).save(paths[-1])
    tracklets = [(tuple(paths), 0, 0, 0)] * 4
    transform = ClipTransform(16, 8)
    with caplog.at_level(logging.WARNING, "nr3d"):
        clip = 4 * 3 * 16 * 8 * 4
        shared(2 * clip * 3)
        dataset = ClipDataset(tracklets, transform)
        train = ClipLoader(dataset, set(), batch_size=2, num_workers=3, persistent_workers=True)
        assert (train.num_workers, train.prefetch_factor) == (1, 1)
        shared(0)
        none = ClipLoader(dataset, set(), batch_size=2, num_workers=3, persistent_workers=True)
        assert (none.num_workers, none.prefetch_factor) == (0, None)
        batch = 5 * 16 * 8 * 3
        shared(batch * 7)
        test = FrameLoader(TestTracklets(tracklets, transform), frames=5, workers=2)
        assert (test.num_workers, test.prefetch_factor) == (2, 2)
    assert "3 loader processes, 0 MiB each: there are 1," in caplog.messages[0]
    assert len(caplog.messages) == 2  # fewer batches ahead alone cost little
    for one, other in zip(train, none, strict=True):
        assert torch.equal(one["img"], other["img"])
    assert sum(len(batch["img"]) for batch in test) == 24


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/dev/shm"], capture_output=True
    ).returncode,
    reason="no small /dev/shm can be made here",
)
def test_a_shared_memory_that_is_full_is_one_line() -> None:
    mount = "mount -t tmpfs -o size=2M tmpfs /dev/shm"
    script = Path(__file__).with_name("small_shared_memory.py")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"{mount} && exec {sys.executable} {script}"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    one, refused, two, refused_too = done.stdout.splitlines()
    # Without loader processes the batches are those that they would have made.
    assert (one, two) == ("0 15", "0 15")
    for line in (refused, refused_too):
        assert line.startswith("The shared memory is full, in which loader processes hand over ")
        assert "No space left on device" in line
        assert "docker run --shm-size" in line
    assert done.stderr.splitlines()[0].startswith("/dev/shm has 2 MiB free, too little for the ")
    assert len(done.stderr.splitlines()) == 1


# Processes that are started anew


def test_what_is_sent_to_processes_can_be(tmp_path: Path) -> None:
    """They are sent the datasets; nothing of them is inherited."""
    tracklets = [(("1.jpg",), 0, 0, 0)] * 4
    transform = ClipTransform(16, 8, TRANSFORMS)
    for method in ("restricted", "random", "evenly"):
        dataset = ClipDataset(tracklets, transform, 2, method, "skip", cache_frames=True)
        loader: Any = ClipLoader(dataset, set(), batch_size=2, num_workers=2)
        for sent in (loader.dataset, loader.collate_fn):
            assert pickle.loads(pickle.dumps(sent))
    for method in ("dense", "evenly"):
        tests = TestTracklets(tracklets, transform, 2, method)
        loader = FrameLoader(tests, workers=2)
        for sent in (loader.dataset, loader.collate_fn):
            assert pickle.loads(pickle.dumps(sent))


@pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="no server")
def test_batches_and_training_in_processes_that_are_not_forked(
    own_mars_root: Path, tmp_path: Path
) -> None:
    packed = pack(own_mars_root, "mars", tmp_path / "mars.h5").file
    bad = own_mars_root / "mars/bbox_train/0003/0003C1T0001F002.jpg"
    bad.write_bytes(b"")
    script = Path(__file__).with_name("started_anew.py")
    done = subprocess.run(
        [sys.executable, str(script), str(own_mars_root), str(packed), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["train"], found["test"], found["training"]) == (0, True, True)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["results"]["mars"]
    assert found["bad_frames"] == [str(bad)]


# Frames that are kept in memory


def test_frames_that_may_not_fit_into_the_memory_are_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tracklets = [(tuple(f"{p}/{n}.jpg" for n in range(50)), p, 0, 0) for p in range(40)]
    kept = 40 * 50 * 224 * 112 * 4

    def loader(free: int | None, **options: Any) -> ClipLoader:
        caplog.clear()
        monkeypatch.setattr("nr3d.data.manager.free_memory", lambda: free)
        dataset = ClipDataset(tracklets, ClipTransform(224, 112), **options)
        return ClipLoader(dataset, set(), batch_size=4, num_workers=2)

    loader(2 * kept - 1, cache_frames=True)
    assert caplog.messages == [
        "data.cache_frames keeps up to 0.2 GiB in each of 2 loader processes, and 0.4 GiB of "
        "memory are free: set data.workers lower, or data.cache_frames False."
    ]
    for free, options in (
        (2 * kept, {"cache_frames": True}),
        (None, {"cache_frames": True}),
        (0, {}),
    ):
        loader(free, **options)
        assert caplog.messages == []


def test_free_memory_is_the_least_of_what_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert free_memory() is None
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemFree: 1 kB\nMemAvailable:  8000 kB\n")
    assert free_memory() == 8000 * 1024
    (tmp_path / "memory.current").write_text("1000\n")
    for limit, free in (("max", 8000 * 1024), ("5000", 4000), ("500", 0)):
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        assert free_memory() == free
    (tmp_path / "memory.max").write_text("5000\n")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert free_memory() == 2000


@pytest.mark.parametrize("method", ["restricted", "random", "evenly"])
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_clips_longer_than_a_tracklet(method: str, frames: int, tmp_path: Path) -> None:
    from PIL import Image

    paths = tuple(str(tmp_path / f"{number}.png") for number in range(frames))
    for number, path in enumerate(paths):
        Image.new("RGB", (8, 16), (50 * number, 0, 0)).save(path)
    dataset = ClipDataset([(paths, 0, 0, 0)], ClipTransform(16, 8), 8, method)
    clip = dataset[0]["img"]
    assert clip.shape == (8, 3, 16, 8)
    brightness = clip[:, 0, 0, 0].tolist()
    assert brightness == sorted(brightness)
    assert len(set(np.round(brightness, 3))) <= frames
