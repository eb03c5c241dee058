"""Packs: the frames of a dataset and its tracklets in one HDF5 file, and their reading.

A pack holds the files of the frames as they are, one after the other, and what torchreid knows
about the dataset. The T tracklets of a split have F frames together, and the file has N frames of B
bytes:

=================  ==================  ===========================================================
``bytes``          (B,) uint8          the encoded frames, contiguous in the file
``frames/offset``  (N,) int64          offset of each frame in ``bytes``
``frames/length``  (N,) int64          number of bytes of each frame
``frames/crc32``   (N,) uint32         zlib's CRC-32 of these bytes
``frames/path``    (N,) UTF-8          path of its file below the datasets' root; sorted
``train/pid``      (T,) int64          pid of each tracklet; so are ``camid`` and ``dsetid``
``train/start``    (T + 1,) int64      tracklet t has ``train/frame[start[t]:start[t + 1]]``
``train/frame``    (F,) int64          indices of the frames
=================  ==================  ===========================================================

``query`` and ``gallery`` have the same as ``train``; the tables of ``train``, or of these two, are
empty in a pack for one purpose. The file's attributes are ``format``
("nr3d-pack"), ``version`` (1), ``complete`` (1, or 0 while it is being written), ``dataset``,
``split_id`` (-1 for a dataset without splits), ``nr3d`` (the version that wrote it), ``source``
(SHA-256 of the root, the tables, and the files' sizes and times) and ``tables`` (SHA-256 of the
dataset, the split and the tables except ``crc32``). Where the tracklets of ``train`` or of the test
are no video, ``train_kind`` or ``test_kind`` says what they are, one of
:data:`nr3d.data.datasets.parts.KINDS`; ``given_order`` is 1 where their frames are listed in the
order of time, which is not to be read from their names. Any HDF5 reader can use a pack:

Examples:
    >>> with h5py.File("mars.h5") as pack:  # doctest: +SKIP
    ...     start, length = pack["frames/offset"][7], pack["frames/length"][7]
    ...     image = Image.open(io.BytesIO(pack["bytes"][start : start + length]))
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

from nr3d.data.datasets.parts import KINDS, PURPOSES, SPLITS, GivenOrder
from nr3d.errors import DataError, printable, shown
from nr3d.files.hdf5 import reading
from nr3d.files.home import expanded

FORMAT = "nr3d-pack"
VERSION = 1

NO_SPLIT = -1
"""``split_id`` of a dataset that has no splits."""

_COLUMNS = ("pid", "camid", "dsetid", "start", "frame")
"""Names of the tables of a split."""

_LONGEST_PATH = 2**16
"""Largest size of a frame's path, in bytes; no file system takes more."""

_REPEATS = 64
"""Largest average number of tracklets of a split that hold a frame."""

_MARK = re.compile(r"::(\d{10})/")
"""Separator of a pack's path and a frame's: the frame's index, so that paths sort as files do."""

_Table: TypeAlias = npt.NDArray[np.int64]


def tables_digest(
    dataset: str,
    split_id: int,
    frames: Mapping[str, npt.NDArray[Any]],
    parts: Mapping[str, Mapping[str, _Table]],
) -> str:
    """Return the SHA-256 that reveals a changed pack.

    HDF5 keeps a checksum of the bytes of each table, but not of the header that describes them or
    of attributes.

    Args:
        dataset: torchreid's name of the dataset.
        split_id: number of the split.
        frames: the tables ``offset``, ``length`` and ``path``, the last as bytes.
        parts: the tables of the tracklets of each of :data:`nr3d.data.datasets.parts.SPLITS`.
    """
    tables = {f"frames/{name}": frames[name] for name in ("offset", "length", "path")}
    tables |= {f"{part}/{name}": parts[part][name] for part in SPLITS for name in _COLUMNS}
    head = [dataset, split_id, {name: len(table) for name, table in tables.items()}]
    digest = hashlib.sha256(json.dumps(head).encode())
    for name, table in tables.items():
        if name == "frames/path":  # its width in the file is that of the longest path
            digest.update(b"\0".join(table.tolist()))
        else:
            digest.update(table.astype("<i8").tobytes())
    return digest.hexdigest()


def _column(table: Any, most: int, kinds: str = "iu") -> npt.NDArray[Any]:
    """Read a table of numbers or of text, with no more rows than there can be."""
    if table.ndim != 1 or table.dtype.kind not in kinds:
        raise ValueError(f"{shown(table.name)} is {table.dtype} of {table.ndim} dimensions")
    if len(table) > most or table.dtype.itemsize > _LONGEST_PATH:
        raise ValueError(f"{shown(table.name)} has {len(table):,} rows, and {most:,} fit")
    column: npt.NDArray[Any] = table[:]
    return column if kinds == "S" or table.dtype == np.uint32 else column.astype(np.int64)


class Pack:
    """An open pack.

    HDF5 provides the tables and the place of the bytes. The bytes are then read from the file
    itself, which costs less than a slice through HDF5 and can be shared by forked processes.

    Args:
        path: path of the file.

    Attributes:
        path: absolute path of the file.
        dataset: torchreid's name of the dataset.
        split_id: number of the split, or :data:`NO_SPLIT`.
        offset: (N,), offset of each frame, in bytes.
        length: (N,), size of each frame, in bytes.
        crc32: (N,), CRC-32 of each frame.
        names: (N,), path of each frame below the datasets' root, as bytes.
        kinds: kinds of the training and of the test tracklets, empty if they are video.
        given_order: whether the order of the frames is not to be read from their names.

    Raises:
        DataError: if the file is missing, damaged, not whole, or no pack.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = expanded(path, DataError).absolute()
        make = "nr3d pack --root DIR --dataset NAME --out"
        if not self.path.is_file():
            raise DataError(
                f"There is no pack {self.path}. Make it: {make} {shlex.quote(str(self.path))}"
            )
        # The file may be something else, so that the advice is not to write over it.
        advice = f"Give a whole one, or make it: {make} FILE"
        with reading(self.path, "a pack", advice, DataError) as file:
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
            kinds = [str(file.attrs.get(key, "")) for key in ("train_kind", "test_kind")]
            train, test = (kind if kind in KINDS else "" for kind in kinds)
            self.kinds = train, test
            self.given_order = bool(file.attrs.get("given_order", 0) == 1)
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
            # Packs of the first versions have no digest; their tables are only checked by HDF5.
            digest = file.attrs.get("tables")
            if digest is not None and digest != self._digest():
                raise ValueError("its dataset, split or tables are not those that were packed")
        self._file = os.open(self.path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def _check(self, room: int) -> None:
        """Refuse tables that do not fit each other, or that need more bytes than ``room``."""
        frames = len(self.crc32)
        if not {len(self.offset), len(self.length), len(self.names)} == {frames}:
            raise ValueError("its tables of frames are not of one length")
        if ((self.offset < 0) | (self.length < 0) | (self.offset > room - self.length)).any():
            raise ValueError("it has frames that lie outside of it")
        for part, table in self._parts.items():
            start, frame = table["start"], table["frame"]
            if not len(table["pid"]) == len(table["camid"]) == len(table["dsetid"]):
                raise ValueError(f"its tables of {part} are empty or not of one length")
            if len(start) != len(table["pid"]) + 1 or start[0] != 0 or start[-1] != len(frame):
                raise ValueError(f"its tables of {part} do not fit each other")
            if (np.diff(start) < 0).any() or ((frame < 0) | (frame >= frames)).any():
                raise ValueError(f"its table of {part} has frames that are not there")
        held = tuple(part for part in SPLITS if len(self._parts[part]["pid"]))
        if held not in PURPOSES.values():
            raise ValueError(f"it has tracklets of {' and '.join(held) or 'no split'} only")

    def _digest(self) -> str:
        frames = {"offset": self.offset, "length": self.length, "path": self.names}
        return tables_digest(self.dataset, self.split_id, frames, self._parts)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.names)

    def frame(self, index: int) -> str:
        """Return the path that stands for a frame.

        It ends as the path of the file does, and the paths of a pack sort as those of the files.
        """
        name = self.names[index].decode("utf-8", "surrogateescape")
        return f"{self.path}::{index:010d}/{name}"

    def holds(self, index: int, name: str) -> bool:
        """Return whether the frame at an index is that of a file."""
        return index < len(self) and self.names[index] == name.encode("utf-8", "surrogateescape")

    def tracklets(self, part: str) -> list[tuple[tuple[str, ...], int, int, int]]:
        """Return torchreid's tuples of a split: frame paths, pid, camid, dsetid."""
        table = self._parts[part]
        start, frame = table["start"].tolist(), table["frame"].tolist()
        facts = zip(*(table[name].tolist() for name in ("pid", "camid", "dsetid")), strict=True)
        order = GivenOrder if self.given_order else tuple
        return [
            (order(map(self.frame, frame[start[place] : start[place + 1]])), pid, camid, dsetid)
            for place, (pid, camid, dsetid) in enumerate(facts)
        ]

    def read(self, index: int) -> bytes:
        """Return the content of a frame's file.

        Raises:
            OSError: if the bytes are not those that were packed.
        """
        length = int(self.length[index])
        # pread takes its own position, and shares none with another process or thread.
        data = os.pread(self._file, length, self._start + int(self.offset[index]))
        if len(data) != length or zlib.crc32(data) != self.crc32[index]:
            raise OSError(
                f"its bytes in the pack {self.path} do not fit their CRC-32: the pack is damaged, "
                "copy it or make it again"
            )
        return data


_packs: dict[str, Pack] = {}
"""Packs that this process has opened, by path."""


def open_pack(path: str | Path) -> Pack:
    """Open a pack, and make its frames available to :func:`packed_bytes`.

    Raises:
        DataError: if the file is missing, damaged, not whole, or no pack.
    """
    pack = Pack(path)
    _packs[str(pack.path)] = pack
    return pack


def packed_bytes(path: str) -> bytes | None:
    """Return the content of a frame in a pack; None for a path that is not in a pack.

    The pack is opened here if neither this process nor the one that forked it has opened it.

    Raises:
        OSError: if the bytes are not those that were packed.
        DataError: if the pack cannot be opened.

    Examples:
        >>> packed_bytes("mars/bbox_train/0001/0001C1T0001F001.jpg") is None
        True
    """
    for mark in _MARK.finditer(path):
        name = path[: mark.start()]
        pack = _packs.get(name)
        # A folder may have a name like that of a frame in a pack.
        if pack is None and Path(name).is_file() and not Path(path).exists():
            pack = open_pack(name)
        if pack is not None and pack.holds(int(mark[1]), path[mark.end() :]):
            return pack.read(int(mark[1]))
    return None
