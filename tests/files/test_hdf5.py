"""HDF5 files: the causes of failed reads, and failures to write."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from nr3d.errors import DataError, FeatureStoreError
from nr3d.files import hdf5


def read(path: Path) -> object:
    with hdf5.reading(path, "a table", "Fetch it again.", DataError) as file:
        return file["x"][:].tolist()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.h5"
    hdf5.create(path, lambda file: file.create_dataset("x", data=[1, 2]))
    return path


def test_what_was_created_is_read_and_changed(table: Path) -> None:
    assert read(table) == [1, 2]
    hdf5.change(table, lambda file: file["x"].write_direct(np.array([3, 4])))
    assert read(table) == [3, 4]
    # The first superblock with checksums, which HDF5 1.10 of 2016 and later can read.
    assert table.read_bytes()[8] == 3


HOLDER = """
import h5py, sys
with h5py.File(sys.argv[1], "r+"):
    print("open", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep a file open for writing in another process."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"open\n"
        yield
        holder.stdin.close()


def test_a_file_that_another_process_writes_is_not_called_damaged(table: Path) -> None:
    with (
        held(table),
        pytest.raises(
            DataError, match=r"table.h5 is open in another process that writes"
        ) as caught,
    ):
        read(table)
    assert "Fetch" not in str(caught.value)
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EMFILE, errno.EIO, errno.ESTALE, errno.ENFILE]
)
@pytest.mark.parametrize("of_hdf5", [False, True])
def test_a_file_that_cannot_be_reached_is_not_called_damaged(
    table: Path, monkeypatch: pytest.MonkeyPatch, number: int, of_hdf5: bool
) -> None:
    def fail(*args: object, **options: object) -> None:
        reason = os.strerror(number)
        if of_hdf5:
            raise OSError(f"Can't read data (file read failed: errno = {number}, '{reason}')")
        raise OSError(number, reason, str(table))

    monkeypatch.setattr(h5py, "File", fail)
    with pytest.raises(DataError, match=r"table.h5 cannot be read now \(.*make it reada") as caught:
        read(table)
    assert "Fetch" not in str(caught.value)


def test_too_many_open_files_is_not_damage(table: Path) -> None:
    import nr3d.features  # noqa: F401 - importing it opens files

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 1, before[1]))
    try:
        with pytest.raises(DataError, match=r"cannot be read now \(.*Too many open files"):
            read(table)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        os.close(taken[0])


def test_damage_is_called_so_and_errors_of_ours_are_left(table: Path) -> None:
    data = table.read_bytes()
    table.write_bytes(data[:-20])
    with pytest.raises(DataError, match=r"as a table \(.*\): it is cut short.* Fetch it again\."):
        read(table)
    table.write_bytes(data)
    with (
        pytest.raises(FeatureStoreError, match="mine"),
        hdf5.reading(table, "a table", "Fetch it again.", DataError),
    ):
        raise FeatureStoreError("mine")
    with pytest.raises(DataError, match=r"is not a file, expected a table"):
        read(table.parent)


def test_a_heap_that_hdf5_would_read_for_ever_is_damage(table: Path) -> None:
    with h5py.File(table, "w") as file:  # the oldest format, with texts of variable length
        file.create_dataset("x", data=["a", "b"], dtype=h5py.string_dtype())
    assert read(table) == [b"a", b"b"]
    data = bytearray(table.read_bytes())
    free = data.index(b"GCOL") + 16 + 2 * 24  # two texts, each of eight bytes behind its head
    assert data[free : free + 8] == bytes(8)
    data[free + 8 : free + 16] = bytes(8)
    table.write_bytes(data)
    with pytest.raises(DataError, match=r"a heap of texts at byte \d+ is damaged"):
        read(table)


@pytest.mark.parametrize("limit", [0, 100, 2000, 50_000])
def test_a_disk_that_is_full_is_an_error_and_no_crash(tmp_path: Path, limit: int) -> None:
    path = tmp_path / "big.h5"

    def fill(file: h5py.File) -> None:
        file.attrs["name"] = "x" * 1000
        file.create_dataset("small", data=np.arange(100))
        file.create_dataset("big", data=np.ones(20_000))

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        for _ in range(3):
            with pytest.raises(OSError, match="File too large") as caught:
                hdf5.create(path, fill)
            assert caught.value.errno == errno.EFBIG
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    hdf5.create(path, fill)
    with h5py.File(path) as file:
        assert file["big"].shape == (20_000,)


def test_errors_of_the_filling_pass_through(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        hdf5.create(tmp_path / "x.h5", lambda file: 1 / 0)


def test_an_interrupt_comes_once_the_file_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    handler = signal.getsignal(signal.SIGINT)

    def fill(file: h5py.File) -> None:
        signal.raise_signal(signal.SIGINT)
        file.create_dataset("x", data=[5])

    with pytest.raises(KeyboardInterrupt):
        hdf5.create(path, fill)
    assert signal.getsignal(signal.SIGINT) is handler
    assert read(path) == [5]


def test_a_damaged_table_read_before_keeps_no_lock(tmp_path: Path) -> None:
    # h5py's own lock stays held by a thread whose read of a compressed table failed.
    path = tmp_path / "x.h5"
    hdf5.create(
        path,
        lambda file: file.create_dataset("x", data=np.arange(99), fletcher32=True, chunks=(99,)),
    )
    data = bytearray(path.read_bytes())
    data[data.index(np.arange(9).tobytes())] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="cannot be read as a table"):
        read(path)
    hdf5.create(path, lambda file: file.create_dataset("x", data=[5]))
    assert read(path) == [5]
