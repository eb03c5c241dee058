"""Packs: the frames of a dataset with its tracklets in one HDF5 file, and reading them.

A pack holds the frames' files as they are, one after the other, and what torchreid knows of the
dataset. T tracklets of a part have F frames together; the file has N frames of B bytes:

=================  ==================  ===========================================================
``bytes``          (B,) uint8          the encoded frames, contiguous in the file
``frames/offset``  (N,) int64          where a frame starts in ``bytes``
``frames/length``  (N,) int64          how many bytes it has
``frames/crc32``   (N,) uint32         zlib's CRC-32 of them
``frames/path``    (N,) UTF-8          its file below the dataset's root; sorted
``train/pid``      (T,) int64          of each tracklet; likewise ``train/camid``, ``train/dsetid``
``train/start``    (T + 1,) int64      tracklet t has ``train/frame[start[t]:start[t + 1]]``
``train/frame``    (F,) int64          indices of frames
=================  ==================  ===========================================================

``query`` and ``gallery`` have the same as ``train``. The file's attributes are ``format``
("nr3d-pack"), ``version`` (1), ``complete`` (1, or 0 while it is being written), ``dataset``,
``split_id`` (-1 for a dataset without splits), ``nr3d`` (the version that wrote it), ``source``
(SHA-256 of the root, the tables, and the files' sizes and times) and ``tables`` (SHA-256 of the
dataset, the split and the tables but ``crc32``). Any HDF5 reader can use it:

Examples::

    with h5py.File("mars.h5") as pack:
        start, length = pack["frames/offset"][7], pack["frames/length"][7]
        image = Image.open(io.BytesIO(pack["bytes"][start : start + length]))
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import weakref
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nr3d.data.datasets.parts import SPLITS
from nr3d.errors import DataError, printable, shown
from nr3d.files.hdf5 import reading
from nr3d.files.home import expanded

FORMAT = "nr3d-pack"
VERSION = 1

NO_SPLIT = -1
"""``split_id`` of a dataset that has no splits."""

_COLUMNS = ("pid", "camid", "dsetid", "start", "frame")
"""The tables of a part."""

_ATTRIBUTES = 2**24
"""Bytes at a pack's start that hold its attributes; the frames after them may be terabytes."""

_LONGEST_PATH = 2**16
"""Bytes of a frame's path; no file system takes more."""

_REPEATS = 64
"""Tracklets of a part that a frame can be in, on average."""

_MARK = re.compile(r"::(\d{10})/")
"""Between a pack's path and a frame's: the frame's index, so that paths sort as the files do."""

_Table: TypeAlias = npt.NDArray[np.int64]


def tables_digest(
    dataset: str,
    split_id: int,
    frames: Mapping[str, npt.NDArray[Any]],
    parts: Mapping[str, Mapping[str, _Table]],
) -> str:
    """Give the SHA-256 that tells a changed pack: each table of HDF5 has a checksum of its bytes.

    That is no checksum of what its header says the bytes are, nor of an attribute.

    Args:
        dataset: torchreid's name.
        split_id: its split.
        frames: ``offset``, ``length`` and ``path``, the last as bytes.
        parts: of each of :data:`SPLITS` the tables of its tracklets.
    """
    tables = {f"frames/{name}": frames[name] for name in ("offset", "length", "path")}
    tables |= {f"{part}/{name}": parts[part][name] for part in SPLITS for name in _COLUMNS}
    head = [dataset, split_id, {name: len(table) for name, table in tables.items()}]
    digest = hashlib.sha256(json.dumps(head).encode())
    for name, table in tables.items():
        if name == "frames/path":  # whose width in the file is that of the longest
            digest.update(b"\0".join(table.tolist()))
        else:
            digest.update(table.astype("<i8").tobytes())
    return digest.hexdigest()


def _column(table: Any, most: int, kinds: str = "iu") -> npt.NDArray[Any]:
    """Read a table of numbers or of text, of no more rows than there can be."""
    if table.ndim != 1 or table.dtype.kind not in kinds:
        raise ValueError(f"{shown(table.name)} is {table.dtype} of {table.ndim} dimensions")
    if len(table) > most or table.dtype.itemsize > _LONGEST_PATH:
        raise ValueError(f"{shown(table.name)} has {len(table):,} rows, and {most:,} fit")
    column: npt.NDArray[Any] = table[:]
    return column if kinds == "S" or table.dtype == np.uint32 else column.astype(np.int64)


class Pack:
    """An open pack.

    HDF5 gives its tables and says where the bytes lie; they are then read from the file itself,
    which costs less than a slice through HDF5, and which processes that were forked can share.

    Args:
        path: the file.

    Attributes:
        path: absolute.
        dataset: torchreid's name of the dataset.
        split_id: its split, or :data:`NO_SPLIT`.
        offset, length, crc32, names: the tables of the frames.

    Raises:
        DataError: if it is missing, damaged, not whole, or not such a file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = expanded(path, DataError).absolute()
        make = "nr3d pack --root DIR --dataset NAME --out"
        if not self.path.is_file():
            raise DataError(
                f"There is no pack {self.path}. Make it: {make} {shlex.quote(str(self.path))}"
            )
        # It may be a file of something else: no word of writing over it.
        advice = f"Give a whole one, or make it: {make} FILE"
        with reading(self.path, "a pack", advice, DataError, searched=_ATTRIBUTES) as file:
            kind, version = file.attrs.get("format"), file.attrs.get("version")
            if kind != FORMAT:
                raise DataError(
                    f"{self.path} is HDF5, but not a pack: its format is {shown(kind)}, "
                    f"expected {FORMAT!r}. Give a file that nr3d pack wrote."
                )
            if version != VERSION:
                raise DataError(
                    f"{self.path} is a pack of version {printable(str(version))}, expected "
                    f"{VERSION}. Make it again: {make} {shlex.quote(str(self.path))} --replace"
                )
            if file.attrs["complete"] != 1:
                raise DataError(
                    f"{self.path} is not whole: its packing was interrupted. Run that nr3d "
                    "pack again, and give the file that it names."
                )
            self.dataset = str(file.attrs["dataset"])
            self.split_id = int(file.attrs["split_id"])
            size = self.path.stat().st_size
            self.crc32: npt.NDArray[np.uint32] = _column(file["frames/crc32"], size // 4)
            frames = len(self.crc32)
            self.offset: _Table = _column(file["frames/offset"], frames)
            self.length: _Table = _column(file["frames/length"], frames)
            self.names: npt.NDArray[np.bytes_] = _column(file["frames/path"], frames, "S")
            self._parts: dict[str, dict[str, _Table]] = {
                part: {name: _column(file[part][name], _REPEATS * frames + 1) for name in _COLUMNS}
                for part in SPLITS
            }
            self._start = file["bytes"].id.get_offset() or 0  # None where it has no byte
            self._check(size - self._start)
            # Of a pack from before it had one the tables are what HDF5 makes of them.
            digest = file.attrs.get("tables")
            if digest is not None and digest != self._digest():
                raise ValueError("its dataset, split or tables are not those that were packed")
        self._file = os.open(self.path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def _check(self, room: int) -> None:
        """Refuse tables that do not fit each other or the bytes, of which there is so much room."""
        frames = len(self.crc32)
        if not {len(self.offset), len(self.length), len(self.names)} == {frames}:
            raise ValueError("its tables of frames are not of one length")
        if ((self.offset < 0) | (self.length < 0) | (self.offset > room - self.length)).any():
            raise ValueError("it has frames that lie outside of it")
        for part, table in self._parts.items():
            start, frame = table["start"], table["frame"]
            if not 0 < len(table["pid"]) == len(table["camid"]) == len(table["dsetid"]):
                raise ValueError(f"its tables of {part} are empty or not of one length")
            if len(start) != len(table["pid"]) + 1 or start[0] != 0 or start[-1] != len(frame):
                raise ValueError(f"its tables of {part} do not fit each other")
            if (np.diff(start) < 0).any() or ((frame < 0) | (frame >= frames)).any():
                raise ValueError(f"its table of {part} has frames that are not there")

    def _digest(self) -> str:
        frames = {"offset": self.offset, "length": self.length, "path": self.names}
        return tables_digest(self.dataset, self.split_id, frames, self._parts)

    def __len__(self) -> int:
        """Count the frames."""
        return len(self.names)

    def frame(self, index: int) -> str:
        """Give the path that stands for a frame.

        It ends as the file's own, and sorts among the pack's as that did among the dataset's.
        """
        name = self.names[index].decode("utf-8", "surrogateescape")
        return f"{self.path}::{index:010d}/{name}"

    def holds(self, index: int, name: str) -> bool:
        """Whether the frame at an index is that of a file."""
        return index < len(self) and self.names[index] == name.encode("utf-8", "surrogateescape")

    def tracklets(self, part: str) -> list[tuple[tuple[str, ...], int, int, int]]:
        """Give torchreid's tuples of one of :data:`SPLITS`: frame paths, pid, camid, dsetid."""
        table = self._parts[part]
        start, frame = table["start"].tolist(), table["frame"].tolist()
        facts = zip(*(table[name].tolist() for name in ("pid", "camid", "dsetid")), strict=True)
        return [
            (tuple(map(self.frame, frame[start[place] : start[place + 1]])), pid, camid, dsetid)
            for place, (pid, camid, dsetid) in enumerate(facts)
        ]

    def read(self, index: int) -> bytes:
        """Read a frame's file.

        Raises:
            OSError: if its bytes are not those that were packed.
        """
        length = int(self.length[index])
        # Asks for its own place in the file: nothing is shared with another process or thread.
        data = os.pread(self._file, length, self._start + int(self.offset[index]))
        if len(data) != length or zlib.crc32(data) != self.crc32[index]:
            raise OSError(
                f"its bytes in the pack {self.path} do not fit their CRC-32: the pack is damaged, "
                "copy it or make it again"
            )
        return data


_packs: dict[str, Pack] = {}
"""The packs that this process opened, by their path."""


def open_pack(path: str | Path) -> Pack:
    """Open a pack, for :func:`packed_bytes` too.

    Raises:
        DataError: as for :class:`Pack`.
    """
    pack = Pack(path)
    _packs[str(pack.path)] = pack
    return pack


def packed_bytes(path: str) -> bytes | None:
    """Read the file of a frame in a pack; None for the path of a file of its own.

    A process that was not forked from one that opened the pack opens it here.

    Raises:
        OSError: if its bytes are not those that were packed.
        DataError: if the pack cannot be opened.

    Examples::
        >>> packed_bytes("mars/bbox_train/0001/0001C1T0001F001.jpg") is None
        True
    """
    for mark in _MARK.finditer(path):
        name = path[: mark.start()]
        pack = _packs.get(name)
        # A folder may be called as if it were a frame in a pack.
        if pack is None and Path(name).is_file() and not Path(path).exists():
            pack = open_pack(name)
        if pack is not None and pack.holds(int(mark[1]), path[mark.end() :]):
            return pack.read(int(mark[1]))
    return None
