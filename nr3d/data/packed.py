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
``split_id`` (-1 for a dataset without splits), ``nr3d`` (the version that wrote it) and ``source``
(SHA-256 of the root, the tables, and the files' sizes and times). Any HDF5 reader can use it:

Examples::

    with h5py.File("mars.h5") as pack:
        start, length = pack["frames/offset"][7], pack["frames/length"][7]
        image = Image.open(io.BytesIO(pack["bytes"][start : start + length]))
"""

from __future__ import annotations

import os
import re
import shlex
import weakref
import zlib
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nr3d.errors import DataError
from nr3d.home import expanded

FORMAT = "nr3d-pack"
VERSION = 1

PARTS = ("train", "query", "gallery")

NO_SPLIT = -1
"""``split_id`` of a dataset that has no splits."""

_MARK = re.compile(r"::(\d{10})/")
"""Between a pack's path and a frame's: the frame's index, so that paths sort as the files do."""

_Table: TypeAlias = npt.NDArray[np.int64]


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
        import h5py

        self.path = expanded(path, DataError).absolute()
        make = "nr3d pack --root DIR --dataset NAME --out"
        if not self.path.is_file():
            raise DataError(
                f"There is no pack {self.path}. Make it: {make} {shlex.quote(str(self.path))}"
            )
        try:
            with h5py.File(self.path, "r") as file:
                found = file.attrs.get("format"), file.attrs.get("version")
                if found[0] != FORMAT:
                    raise DataError(
                        f"{self.path} is HDF5, but not a pack: its format is {found[0]!r}, "
                        f"expected {FORMAT!r}. Give a file that nr3d pack wrote."
                    )
                if found[1] != VERSION:
                    raise DataError(
                        f"{self.path} is a pack of version {found[1]}, expected {VERSION}. "
                        f"Make it again: {make} {shlex.quote(str(self.path))} --replace"
                    )
                if not file.attrs["complete"]:
                    raise DataError(
                        f"{self.path} is not whole: its packing was interrupted. Run that nr3d "
                        "pack again, and give the file that it names."
                    )
                self.dataset = str(file.attrs["dataset"])
                self.split_id = int(file.attrs["split_id"])
                frames = file["frames"]
                self.offset: _Table = frames["offset"][:]
                self.length: _Table = frames["length"][:]
                self.crc32: npt.NDArray[np.uint32] = frames["crc32"][:]
                self.names: npt.NDArray[np.bytes_] = frames["path"][:]
                self._parts: dict[str, dict[str, _Table]] = {
                    part: {name: table[:] for name, table in file[part].items()} for part in PARTS
                }
                self._start = file["bytes"].id.get_offset() or 0  # None where it has no byte
        except (OSError, KeyError, ValueError, TypeError) as error:
            # It may be a file of something else: no word of writing over it.
            raise DataError(
                f"{self.path} cannot be read as a pack ({error}). Give a whole one, or make it: "
                f"{make} FILE"
            ) from error
        self._file = os.open(self.path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

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
        """Give torchreid's tuples of one of :data:`PARTS`: frame paths, pid, camid, dsetid."""
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
