"""Writing of packs: the files of a dataset, copied as they are into one HDF5 file.

The tables are written first, with room for the bytes. The bytes and their CRC-32 are then written
to their places in the file without HDF5, so that threads can do it and HDF5's own structures are
never half written. An interrupted packing is resumed by leaving out frames whose CRC-32 fits.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nr3d.data.datasets.parts import SPLITS
from nr3d.data.decoding import MAX_BYTES
from nr3d.data.packs.reading import FORMAT, VERSION, tables_digest
from nr3d.data.packs.tables import PackTables, list_frames
from nr3d.data.packs.threads import spread
from nr3d.errors import ConfigError, DataError
from nr3d.files import hdf5
from nr3d.files.atomic import flush_to_disk, sole_writer
from nr3d.files.home import expanded
from nr3d.files.regular_files import read_regular
from nr3d.version import __version__

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Packing:
    """A pack that :func:`pack` wrote.

    Args:
        file: path of the pack.
        frames: number of frames.
        tracklets: number of tracklets of train, query and gallery together.
        size: size of the file, in bytes.
    """

    file: Path
    frames: int
    tracklets: int
    size: int


def pack(
    root: str | Path,
    dataset: str,
    out: str | Path,
    *,
    split_id: int = 0,
    workers: int | None = None,
    replace: bool = False,
    progress: Callable[[Iterable[int], int], Iterable[int]] = lambda frames, total: frames,
) -> Packing:
    """Pack a dataset's train, query and gallery into one file; see :mod:`nr3d.data.packs.reading`.

    The file gets its name when it is whole. Until then it has a temporary name beside it, and after
    an interruption the same call resumes where it stopped.

    Args:
        root: folder that holds the datasets' folders.
        dataset: torchreid's name of the dataset, or the folder of a converted one.
        out: path of the file to write.
        split_id: number of the split of a dataset that has several, from 0.
        workers: number of threads that read and write. Default is the number of CPUs.
        replace: whether to replace an existing file.
        progress: function that wraps an iterable of frames, given their number, to show how far the
            copying is.

    Returns:
        Packing: the path and the counts of the pack.

    Raises:
        DataError: if the dataset or one of its files cannot be read, or if the file cannot be
            written, already exists, or is being written by another process.
        ConfigError: if ``workers`` is less than 1.

    Examples:
        >>> from nr3d.synthetic import WRITERS
        >>> summary = WRITERS["mars"]("data", 4, 0, frames=(2, 2))
        >>> pack("data", "mars", "mars.h5").frames == summary.frames
        True
    """
    workers = os.cpu_count() or 1 if workers is None else workers
    if workers < 1:
        raise ConfigError(f"workers is {workers}, expected at least 1")
    out = expanded(out, DataError).absolute()
    with _locked(out):
        if out.is_dir() or (out.exists() and not replace):
            remedy = "" if out.is_dir() else ", or write over it by --replace (replace=True)"
            raise DataError(f"{out} is there already: give another --out{remedy}.")
        tables = list_frames(root, dataset, split_id, workers)
        partial = out.with_name(f".{out.name}.partial")
        with _on_disk(out):
            _begin(partial, tables)
            # Closed before the lock is released, so that no thread is still writing.
            with closing(_fill(partial, tables, workers)) as frames:
                for _ in progress(frames, len(tables.names)):
                    pass
            _finish(partial, out)
    tracklets = sum(len(tables.parts[part]["pid"]) for part in SPLITS)
    return Packing(out, len(tables.names), tracklets, out.stat().st_size)


# The file


def _begin(partial: Path, tables: PackTables) -> None:
    """Write the tables, unless an interrupted packing of the same files has written them."""
    import h5py

    names = [name.encode("utf-8", "surrogateescape") for name in tables.names]
    frames = {"offset": tables.offset, "length": tables.length, "path": np.array(names)}
    digest = tables_digest(tables.dataset, tables.split_id, frames, tables.parts)
    marks = {"version": VERSION, "source": tables.source, "tables": digest}
    begun = partial.with_suffix(".begun")
    begun.unlink(missing_ok=True)
    if partial.exists():
        try:
            with hdf5.reading(partial, "a pack", "It is made anew.", DataError) as file:
                if all(file.attrs.get(mark) == value for mark, value in marks.items()):
                    there = np.count_nonzero(file["frames/crc32"][:])
                    logger.info("Resuming %s: %d frames are there", partial, there)
                    return
        except DataError as error:
            logger.info("%s", error)
        logger.info("Starting anew: %s is a pack of other files", partial)
        partial.unlink()
    total, free = int(tables.length.sum()), shutil.disk_usage(partial.parent).free
    if total > free:
        raise OSError(errno.ENOSPC, f"{total:,} bytes to write, and {free:,} free")
    columns = {
        "frames/path": np.array(names, h5py.string_dtype("utf-8", max(map(len, names)))),
        "frames/offset": tables.offset,
        "frames/length": tables.length,
        **{
            f"{part}/{key}": tables.parts[part][key]
            for part in SPLITS
            for key in tables.parts[part]
        },
    }

    def fill(file: h5py.File) -> None:
        file.attrs.update(
            {
                "format": FORMAT,
                **marks,
                "complete": 0,
                "split_id": tables.split_id,
                "nr3d": __version__,
                **tables.marks,
            }
        )
        # A folder's name need not be UTF-8.
        dataset = tables.dataset.encode("utf-8", "surrogateescape")
        file.attrs.create("dataset", dataset, dtype=h5py.string_dtype("utf-8"))
        for name, column in columns.items():
            file.create_dataset(name, data=column, compression="gzip", fletcher32=True)
        file.create_dataset("frames/crc32", data=np.zeros(len(names), "<u4"))
        # HDF5 gives the room for the bytes a place in the file when its last byte is written.
        room = file.create_dataset("bytes", (total,), np.uint8)
        if total:
            room[-1] = 0

    hdf5.create(begun, fill)
    flush_to_disk(begun)
    begun.replace(partial)


def _fill(partial: Path, tables: PackTables, workers: int) -> Generator[int]:
    """Copy the missing frames; yield the index of each frame once it is in the pack."""
    with hdf5.reading(partial, "a pack", "Remove it and pack again.", DataError) as begun:
        bytes_at = begun["bytes"].id.get_offset() or 0  # None if there is no byte
        crc32_at = begun["frames/crc32"].id.get_offset()
        crc32 = begun["frames/crc32"][:]
    file = os.open(partial, os.O_RDWR)

    def copy(block: range) -> range:
        for index in block:
            at, length = bytes_at + int(tables.offset[index]), int(tables.length[index])
            if crc32[index] and zlib.crc32(os.pread(file, length, at)) == crc32[index]:
                continue
            data = _read(tables.root / tables.names[index], length)
            _write(file, data, at)
            _write(file, zlib.crc32(data).to_bytes(4, "little"), crc32_at + 4 * index)
        return block

    try:
        yield from spread(copy, len(tables.names), workers)
        os.fsync(file)
    finally:
        os.close(file)


def _finish(partial: Path, out: Path) -> None:
    hdf5.change(partial, lambda file: file.attrs.modify("complete", 1))
    flush_to_disk(partial)
    partial.replace(out)


def _read(path: Path, length: int) -> bytes:
    try:
        data = read_regular(path, max(length, MAX_BYTES))
    except OSError as error:
        raise DataError(f"Frame {path} cannot be packed ({error}): restore it.") from error
    if len(data) != length:
        raise DataError(
            f"Frame {path} has {len(data)} bytes, and had {length} as the packing began: pack the "
            "dataset when nothing writes to it."
        )
    return data


def _write(file: int, data: bytes, at: int) -> None:
    while data:  # a nearly full disk takes only a part
        written = os.pwrite(file, data, at)
        data, at = data[written:], at + written


# Its place


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Keep other processes from writing the same file."""
    with ExitStack() as stack:
        try:
            stack.enter_context(sole_writer(out))
        except BlockingIOError as error:
            raise DataError(str(error)) from None
        except OSError as error:
            reason = getattr(error, "reason", "") or error
            raise DataError(
                f"The folder {out.parent} cannot be written in ({reason}): give another --out."
            ) from error
        yield


@contextmanager
def _on_disk(out: Path) -> Iterator[None]:
    """Turn disk errors into errors that say what to do."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "make room on the disk" if full else "fix that, or give another --out"
        raise DataError(
            f"{out} cannot be written ({error}): {what}, and pack again. The packing resumes "
            "where it stopped."
        ) from error
