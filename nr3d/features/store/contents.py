"""An open feature store, each part of which is checked when it is read."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nr3d.data.datasets.parts import SPLITS
from nr3d.errors import FeatureStoreError, shown
from nr3d.features.attention import AttentionSums, attends_by, sums_of_rows
from nr3d.features.store.dtypes import DTYPES
from nr3d.features.store.layout import (
    FACTS,
    FORMAT,
    NUMBERS,
    TEXTS,
    VALUES,
    VERSION,
    Columns,
    Floats,
    Header,
    Origin,
    crc32_of_row,
    crc32_of_tables,
)
from nr3d.features.store.row import Row, decoded
from nr3d.files import hdf5
from nr3d.models import AttentionHealth

if TYPE_CHECKING:
    import h5py

_LONGEST_TEXT = 1 << 16
"""Greatest length of a tracklet's name, in bytes."""

ADVICE = "Remove it and extract the features again, or restore a copy."


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Contents]:
    """Open a store and check all of it but its rows.

    Args:
        path: file of the store.

    Raises:
        FeatureStoreError: if the store is missing, damaged, open in a process that writes it, or
            of another format or version.
    """
    if path.is_dir():
        raise FeatureStoreError(f"{path} is a folder, expected a feature store: give a file.")
    if not path.exists():
        raise FeatureStoreError(f"There is no feature store {path}: make it with nr3d extract.")
    # Version 1 keeps its names in heaps, which can lie anywhere in the file.
    with hdf5.reading(
        path, "a feature store", ADVICE, FeatureStoreError, searched=path.stat().st_size
    ) as file:
        yield Contents(path, file)


class Contents:
    """The contents of a store.

    Args:
        path: file of the store, for messages.
        file: the same file, open for reading.

    Attributes:
        header: description of the store.
        columns: all columns but the features, each of shape (N,); texts are encoded.
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self._file = file
        version = self._version()
        self._size = file.id.get_filesize()
        features = self._dataset("features", 2)
        self._dtype = str(features.dtype)
        if self._dtype not in DTYPES:
            raise self._damage(f"its features are of type {self._dtype}")
        self.columns: Columns = {
            **{name: self._numbers(name, "i8") for name in NUMBERS},
            **{name: self._texts(name) for name in TEXTS},
            **({} if version == 1 else {"crc32": self._numbers("crc32", "u4")}),
        }
        if {len(column) for column in self.columns.values()} != {len(features)}:
            raise self._damage("its columns differ in length")
        if version > 1:
            attributes = self._attributes()
            found = crc32_of_tables(attributes, self.columns, features.shape, self._dtype)
            if found != int(file.attrs["crc32"]):
                raise self._damage("its tables do not fit their CRC-32")
        self.header = Header(self._origin(version), self._asked(version), version)
        self._check_columns()

    @property
    def attention(self) -> AttentionHealth | None:
        """The recorded health of the attention; None if the store records none.

        Raises:
            FeatureStoreError: if the record is damaged.
        """
        stored = self._file["frame_weights"].attrs
        if "attention" not in stored and "attention_crc32" not in stored:
            return None
        text = _text(stored["attention"])
        if zlib.crc32(text.encode()) != int(stored["attention_crc32"]):
            raise self._damage("its attention does not fit its CRC-32")
        found = json.loads(text)
        shares = [found["flat"], found["largest"]]
        if not all(isinstance(share, float) and 0 <= share <= 1.001 for share in shares):
            raise self._damage(f"its attention is {shown(text)}")
        return AttentionHealth(*shares)

    @property
    def attends(self) -> bool:
        """Whether the network attends, as far as the store tells."""
        return "attention" in self._file["frame_weights"].attrs or attends_by(
            self.header.origin.binding
        )

    def attention_of(
        self, places: npt.NDArray[np.intp], weights: Sequence[Floats]
    ) -> AttentionSums | None:
        """Return what the frame weights of some rows say about the attention.

        Args:
            places: row numbers, of shape (n,).
            weights: frame weights of each row, as :meth:`read` returns them.

        Returns:
            AttentionSums | None: sums over the clips; None if the network does not attend.
        """
        if not self.attends:
            return None
        clips = self.columns["clips"][places].tolist()
        return sums_of_rows(self.header.origin.binding, weights, clips)

    def places(self, split: str) -> npt.NDArray[np.intp]:
        """Return the row numbers of a split, in the order of the dataset."""
        places = np.flatnonzero(self.columns["split"] == split.encode())
        return places[np.argsort(self.columns["index"][places])]

    def all_keys(self) -> list[tuple[str, int]]:
        """Return the split and index of each row."""
        splits = [text.decode() for text in self.columns["split"].tolist()]
        return list(zip(splits, self.columns["index"].tolist(), strict=True))

    def names(self, places: npt.NDArray[np.intp]) -> list[str]:
        """Return the names of some rows."""
        return [decoded(name) for name in self.columns["name"][places].tolist()]

    def read(self, places: npt.NDArray[np.intp]) -> tuple[Floats, list[Floats]]:
        """Read the features of some rows and the weights of their frames.

        Args:
            places: row numbers, of shape (n,).

        Returns:
            tuple: the features of shape (n, D), in the type in which they are stored, and for each
            row its frame weights of shape (frames,).

        Raises:
            FeatureStoreError: if a row is damaged.
        """
        features = self._features(places)
        frames, first = self.columns["frames"][places], self.columns["first_frame"][places]
        start, stop = (first.min(), (first + frames).max()) if len(places) else (0, 0)
        weights = self._dataset("frame_weights", 1)[start:stop].astype("<f4", copy=False)
        spans = zip((first - start).tolist(), frames.tolist(), strict=True)
        each = [weights[begin : begin + count] for begin, count in spans]
        self._check_rows(places, features, each)
        return features, each

    def rows(self) -> Iterator[Row]:
        """Iterate over all rows.

        Raises:
            FeatureStoreError: if a row is damaged.
        """
        everything = np.arange(len(self.columns["index"]))
        features, weights = self.read(everything)
        facts = (self.columns[name].tolist() for name in ("pid", "camid", "clips"))
        names = self.names(everything)
        columns = zip(self.all_keys(), *facts, names, features, weights, strict=True)
        for (split, index), pid, camid, clips, name, feature, own in columns:
            yield Row(split, index, pid, camid, name, feature, clips, own)

    # Reading the file

    def _version(self) -> int:
        attributes = self._file.attrs
        found = attributes.get("format")
        if not isinstance(found, str | bytes) or _text(found) != FORMAT:
            raise FeatureStoreError(
                f"{self.path} is an HDF5 file but not a feature store: give a file that nr3d "
                "extract made."
            )
        version = attributes["version"]
        version = version.item() if isinstance(version, np.generic) else version
        if not isinstance(version, int) or not 1 <= version <= VERSION:
            raise FeatureStoreError(
                f"{self.path} is a feature store of version {shown(version, 20)}, expected 1 to "
                f"{VERSION}: extract the features again, or use the nr3d that made it."
            )
        if version == 1 and ("complete" not in attributes or "crc32" in attributes):
            raise self._damage("its version does not fit its attributes")
        return version

    def _attributes(self) -> dict[str, str | int]:
        names = Header(_NOBODY, ()).attributes()
        stored = self._file.attrs
        return {n: int(stored[n]) if n == "version" else _text(stored[n]) for n in names}

    def _origin(self, version: int) -> Origin:
        stored = self._file.attrs
        values = {name: json.loads(_text(stored[name])) for name in VALUES}
        values["tracklets"] = {} if version == 1 else json.loads(_text(stored["tracklets"]))
        tracklets = values["tracklets"]
        if not all(isinstance(value, dict) for value in values.values()) or (
            version > 1 and tracklets.keys() != set(SPLITS)
        ):
            raise self._damage("its settings are not valid")
        facts: dict[str, Any] = {name: _text(stored[name]) for name in FACTS}
        return Origin(**facts, **values, dtype=self._dtype)

    def _asked(self, version: int) -> tuple[str, ...]:
        return () if version == 1 else tuple(json.loads(_text(self._file.attrs["asked"])))

    def _dataset(self, name: str, dimensions: int) -> Any:
        dataset = self._file[name]
        # A damaged size must not make HDF5 read or allocate more than the file holds.
        if len(dataset.shape) != dimensions or dataset.nbytes > self._size:
            raise self._damage(f"its {name} are {dataset.shape} of {dataset.dtype}")
        return dataset

    def _numbers(self, name: str, kind: str) -> npt.NDArray[Any]:
        column: npt.NDArray[Any] = self._dataset(name, 1)[:]
        if column.dtype != np.dtype(kind):
            raise self._damage(f"its {name} is of type {column.dtype}")
        return column

    def _texts(self, name: str) -> npt.NDArray[Any]:
        dataset = self._dataset(name, 1)
        if dataset.dtype.kind == "O":
            self._check_references(dataset)
        texts = dataset[:].tolist()
        if not all(isinstance(text, bytes) for text in texts):
            raise self._damage(f"its {name} is not text")
        return np.array(texts, "S" if texts else "S1")

    def _check_references(self, dataset: Any) -> None:
        """Refuse references to texts of variable length that cannot be right.

        HDF5 would allocate as many bytes as a reference says.
        """
        kind = [("length", "<u4"), ("place", "<u8"), ("number", "<u4")]
        for number in range(dataset.id.get_num_chunks()):
            chunk = dataset.id.get_chunk_info(number)
            if chunk.size > self._size:
                raise self._damage(f"its {dataset.name} takes {chunk.size} bytes")
            found = np.frombuffer(dataset.id.read_direct_chunk(chunk.chunk_offset)[1], kind)
            if (found["length"] > _LONGEST_TEXT).any() or (found["place"] >= self._size).any():
                raise self._damage(f"its {dataset.name} points outside the file")

    def _features(self, places: npt.NDArray[np.intp]) -> Floats:
        """Read only the part of the file that holds the rows."""
        dataset = self._dataset("features", 2)
        start, stop = (places.min(), places.max() + 1) if len(places) else (0, 0)
        found: Floats = dataset[start:stop]
        found = found.astype(found.dtype.newbyteorder("<"), copy=False)
        in_order = (places == np.arange(start, stop)).all() if len(places) == stop - start else 0
        return found if in_order else found[places - start]

    # Checking what was read

    def _check_columns(self) -> None:
        columns, tracklets = self.columns, self.header.origin.tracklets
        first, frames = columns["first_frame"], columns["frames"]
        for name in ("index", "clips", "frames"):
            if (columns[name] < 0).any():
                raise self._damage(f"its {name} has {columns[name].min()}, expected 0 or more")
        # The frames of all tracklets follow each other without a gap.
        order = np.lexsort((frames, first))
        if (first[order] != np.cumsum(frames[order]) - frames[order]).any() or (
            len(self._dataset("frame_weights", 1)) != frames.sum()
        ):
            raise self._damage("its frame weights do not fit its tracklets")
        if self._dataset("frame_weights", 1).dtype != np.float32:
            raise self._damage("its frame weights are not float32")
        keys = self.all_keys()
        if unknown := {split for split, _ in keys} - set(SPLITS):
            raise self._damage(f"it has an unknown split {shown(min(unknown))}")
        (key, count), *_ = Counter(keys).most_common(1) or [(("", 0), 0)]
        if count > 1:
            raise self._damage(f"{_called(key)} is there {count} times")
        beyond = [key for key in keys if tracklets and key[1] >= tracklets[key[0]]]
        if beyond:
            raise self._damage(f"{_called(beyond[0])} is beyond the dataset's tracklets")

    def _check_rows(
        self, places: npt.NDArray[np.intp], features: Floats, weights: Sequence[Floats]
    ) -> None:
        columns = self.columns
        if "crc32" in columns:
            facts = zip(
                *(columns[name][places].tolist() for name in ("index", "pid", "camid", "clips")),
                strict=True,
            )
            texts = (columns[name][places].tolist() for name in TEXTS)
            crcs = map(crc32_of_row, facts, *texts, features, weights)
            for place, found, kept in zip(places, crcs, columns["crc32"][places], strict=True):
                if found != kept:
                    raise self._damage(f"{self._row(place)} does not fit its CRC-32")
        finite = np.array(
            [
                np.isfinite(feature).all() and np.isfinite(own).all()
                for feature, own in zip(features, weights, strict=True)
            ],
            dtype=bool,
        )
        if not finite.all():
            raise self._damage(f"{self._row(places[np.argmin(finite)])} is not finite")

    def _row(self, place: int) -> str:
        return f"its row {place}, {_called(self.all_keys()[place])},"

    def _damage(self, what: str) -> FeatureStoreError:
        return FeatureStoreError(f"{self.path} is damaged: {what}. {ADVICE}")


def _called(key: tuple[str, int]) -> str:
    return f"tracklet {key[1]} of {key[0]}"


def _text(value: Any) -> str:
    """Return a text attribute, which has a fixed length or, in version 1, a variable one."""
    if isinstance(value, bytes):
        return decoded(value)
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is not text")
    return value


_NOBODY = Origin("", "", "", {}, {}, {}, {})
