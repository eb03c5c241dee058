"""Atomic writing, and the locks of writers."""

from __future__ import annotations

import contextlib
import errno
import json
import multiprocessing
import os
import resource
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from nr3d.errors import DataError, OutputError
from nr3d.files import locks
from nr3d.files.atomic import replacing, sole_writer
from nr3d.weights import write_checkpoint


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def with_files_of_at_most(size: int, work: Callable[[], None]) -> str:
    """Do some work while no file may exceed a size, as on a full disk, and return its error."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with pytest.raises(OutputError) as caught:
            work()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert caught.value.errno == errno.EFBIG
    return str(caught.value)


# One writer


def enter_often(folder: Path, times: int) -> None:
    """Become a file's sole writer several times; fail if another process is one as well."""
    inside, until = folder / "inside", time.monotonic() + 20
    while not (folder / "go").exists():
        pass
    while times and time.monotonic() < until:
        with contextlib.suppress(BlockingIOError), sole_writer(folder / "file"):
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
            inside.unlink()
            times -= 1
    os._exit(min(times, 1))


def test_processes_that_race_for_a_file_enter_one_by_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    racers = [context.Process(target=enter_often, args=(tmp_path, 500)) for _ in range(4)]
    for racer in racers:
        racer.start()
    (tmp_path / "go").touch()
    for racer in racers:
        racer.join(60)
    assert [racer.exitcode for racer in racers] == [0] * 4
    assert names_in(tmp_path) == ["go"]


def test_a_second_writer_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "features.h5"
    with sole_writer(path):
        assert names_in(tmp_path) == [".features.h5.lock"]
        with pytest.raises(BlockingIOError) as caught, sole_writer(path):
            pass
    assert str(caught.value).startswith(
        f"{path} is being written by process {os.getpid()} on {socket.gethostname()}, since 20"
    )
    assert names_in(tmp_path) == []
    with sole_writer(path):
        pass


def test_a_lock_that_a_killed_process_left_is_taken_over(tmp_path: Path) -> None:
    lock = tmp_path / ".file.lock"
    lock.write_text(json.dumps({"pid": 1, "host": "elsewhere", "since": "2026-01-31 09:30:00"}))
    with sole_writer(tmp_path / "file"):
        assert json.loads(lock.read_text())["pid"] == os.getpid()
    assert names_in(tmp_path) == []


def test_a_lock_that_was_removed_as_it_was_opened_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise two writers could enter: one would hold a file that the path no longer names."""
    path, opened = tmp_path / "lock", os.open

    def open_and_lose(*args: Any) -> int:
        monkeypatch.setattr(os, "open", opened)
        descriptor = opened(*args)
        path.unlink()
        return descriptor

    monkeypatch.setattr(os, "open", open_and_lose)
    with locks.locked(path, "it"), pytest.raises(locks.Locked), locks.locked(path, "it"):
        pass
    assert names_in(tmp_path) == []


def test_a_forked_process_does_not_hold_its_parents_lock(tmp_path: Path) -> None:
    """Otherwise the loader processes of a killed run would keep its folder locked."""
    into, out_of = os.pipe()
    holder = os.fork()
    if holder == 0:
        with sole_writer(tmp_path / "file"):
            if os.fork() == 0:
                os.close(into)
                os.write(out_of, b"%d" % os.getpid())
                signal.pause()
            signal.pause()
    left = int(os.read(into, 20))
    try:
        with pytest.raises(BlockingIOError), sole_writer(tmp_path / "file"):
            pass
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        with sole_writer(tmp_path / "file"):
            os.kill(left, 0)  # the forked process is still alive
    finally:
        os.kill(left, signal.SIGKILL)
    assert names_in(tmp_path) == []


def test_what_killed_writers_left_is_cleared_away_by_the_next(tmp_path: Path) -> None:
    old = [".a.pth.812.partial", ".a.pth.812.0a1b2c3d.partial", ".b.json.9.00000000.partial"]
    for name in (*old, ".c.pth.812.partial", ".a.pth.partial", "a.pth.812.partial"):
        (tmp_path / name).touch()
    with sole_writer(tmp_path / "a.pth", tmp_path / "b.json"):
        pass
    assert names_in(tmp_path) == [".a.pth.partial", ".c.pth.812.partial", "a.pth.812.partial"]


# Whole or not at all


@pytest.mark.parametrize("what", ["torch", "safetensors", "bytes", "hdf5"])
def test_a_full_disk_is_one_error_that_names_the_file(tmp_path: Path, what: str) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write() -> None:
        if what == "torch":
            write_checkpoint({"x": torch.zeros(100_000)}, path)
            return
        with replacing(path) as partial:
            if what == "safetensors":
                save_file({"x": torch.zeros(100_000)}, partial)
            elif what == "hdf5":
                import h5py

                with h5py.File(partial, "w") as file:
                    file["x"] = torch.zeros(100_000).numpy()
            else:
                partial.write_bytes(bytes(400_000))

    message = with_files_of_at_most(50_000, write)
    assert message == (
        f"{path} cannot be written (File too large): raise the limit on the size of files "
        "(ulimit -f)."
    )
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["file"]


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for work in (replacing, sole_writer):
        refused = pytest.raises(OutputError, match=r"file/x cannot be written \(.*\): \w")
        with refused, work(tmp_path / "file" / "x"):
            pass


@pytest.mark.parametrize(
    "error",
    [
        DataError("a frame is bad"),
        FileNotFoundError(errno.ENOENT, "gone", "/elsewhere/frame.jpg"),
        RuntimeError("shapes do not fit"),
        KeyboardInterrupt(),
    ],
)
def test_errors_of_something_else_pass_through(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, replacing(tmp_path / "file") as partial:
        partial.touch()
        raise error
    assert caught.value is error
    assert names_in(tmp_path) == []
