"""The layout of a feature store.

A store is an HDF5 file. Its datasets have one row for each tracklet, sorted by split and index:

=================  =================  ==============================================================
``features``       (N, D) f4 or f2    feature of the tracklet
``split``          (N,) text          ``train``, ``query`` or ``gallery``
``index``          (N,) i8            index of the tracklet in its split
``pid``            (N,) i8            person; in ``train`` the training label
``camid``          (N,) i8            camera, from 0
``name``           (N,) text          folder and file name of the tracklet's first frame
``frames``         (N,) i8            number of frames that were read
``clips``          (N,) i8            number of clips that the frames made
``first_frame``    (N,) i8            where the tracklet's frames start in ``frame_weights``
``crc32``          (N,) u4            CRC-32 of the whole row, see :func:`crc32_of_row`
=================  =================  ==============================================================

``frame_weights``, (F,) f4, holds the share of each frame in the feature of its clip, for the frames
of all tracklets one after the other; the shares of a clip sum to 1. The file has the attributes
``format``, ``version``, ``dataset``, ``weights`` and ``weights_sha256``, and as JSON ``settings``
(what the features depend on, and as ``tracklets`` the kind of the tracklets if they are no video),
``config``, ``versions``, ``tracklets`` (the number of tracklets of each split in the dataset) and
``asked`` (the splits that were requested). The attribute ``crc32`` covers the other attributes and
the columns, see :func:`crc32_of_tables`. A split is complete if it has as many rows as
``tracklets`` says. Texts are UTF-8 of fixed length; bytes of a file name that are not UTF-8 are
kept as they are.

If the network attends, ``frame_weights`` has attributes of its own: ``attention`` holds the health
of the attention as JSON (``state``, ``flat`` and ``largest``, see
:class:`nr3d.models.AttentionHealth`), and ``attention_crc32`` the CRC-32 of that text. Stores of
earlier releases lack both.

Version 1 has texts of variable length and no ``crc32``. In place of ``tracklets`` and ``asked`` it
has ``complete``, which the extraction of a single split set for all splits.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nr3d.config import features_settings

FORMAT, VERSION = "nr3d features", 2

NUMBERS = ("index", "pid", "camid", "frames", "clips", "first_frame")
TEXTS = ("split", "name")
FACTS = ("dataset", "weights", "weights_sha256")
"""Names of the attributes that are texts."""
VALUES = ("settings", "config", "versions")
"""Names of the attributes that are JSON objects, in every version."""

Floats = npt.NDArray[np.floating[Any]]
Columns = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Origin:
    """The dataset, weights and settings that features were made with.

    Args:
        dataset: name of the dataset.
        weights: file of the weights, or their name in the weights index.
        weights_sha256: SHA-256 of the weights file, in hexadecimal digits.
        settings: settings that the features depend on besides the weights, as plain values.
        config: the whole configuration, as plain values.
        versions: versions of the packages involved, by package name.
        tracklets: number of tracklets of each split in the dataset; empty for a store of version 1,
            which does not record it.
        dtype: type in which the features are stored, one of
            :data:`nr3d.features.store.dtypes.DTYPES`.
    """

    dataset: str
    weights: str
    weights_sha256: str
    settings: Mapping[str, Any]
    config: Mapping[str, Any]
    versions: Mapping[str, str]
    tracklets: Mapping[str, int]
    dtype: str = "float32"

    @property
    def binding(self) -> dict[str, Any]:
        """Values that all features of a store must share; paths and versions are not among them.

        A setting that a store of an earlier version does not record is taken from its
        configuration.
        """
        return {
            "dataset": self.dataset,
            "weights_sha256": self.weights_sha256,
            "dtype": self.dtype,
            **features_settings(self.config),
            **self.settings,
        }


@dataclass(frozen=True)
class Header:
    """The description of a store that its attributes hold.

    Args:
        origin: origin of the features.
        asked: requested splits, in the order of :data:`SPLITS`; empty for version 1.
        version: version of the layout, 1 or 2.
    """

    origin: Origin
    asked: tuple[str, ...]
    version: int = VERSION

    def attributes(self) -> dict[str, str | int]:
        """Return the attributes of the file, as the newest version has them."""
        return {
            "format": FORMAT,
            "version": VERSION,
            **{name: getattr(self.origin, name) for name in FACTS},
            **{name: json.dumps(getattr(self.origin, name)) for name in (*VALUES, "tracklets")},
            "asked": json.dumps(self.asked),
        }


def crc32_of_row(
    facts: Sequence[int], split: bytes, name: bytes, feature: Floats, frame_weights: Floats
) -> int:
    """Return the CRC-32 of one row.

    It is computed over the text ``index pid camid clips frames size split name``, with single
    spaces, followed by the bytes of the feature and those of the frame weights, both little-endian.

    Args:
        facts: index, pid, camid and number of clips.
        split, name: encoded strings.
        feature: feature of shape (D,), in the type in which it is stored.
        frame_weights: frame weights of shape (frames,), in float32.
    """
    numbers = " ".join(map(str, (*facts, len(frame_weights), len(feature))))
    text = b" ".join((numbers.encode(), split, name))
    return zlib.crc32(frame_weights.data, zlib.crc32(feature.data, zlib.crc32(text)))


def crc32_of_tables(
    attributes: Mapping[str, str | int], columns: Columns, shape: tuple[int, ...], dtype: str
) -> int:
    """Return the CRC-32 of a store without its features and frame weights, which the rows' cover.

    It is computed over ``attributes`` as JSON with sorted keys, the text ``N D dtype``, the columns
    of :data:`NUMBERS`, the column ``crc32``, and the columns of :data:`TEXTS` with a zero byte
    after each text.

    Args:
        attributes: all attributes but ``crc32`` itself.
        columns: all columns but ``features``.
        shape: shape of ``features``, (N, D).
        dtype: type of ``features``, one of :data:`nr3d.features.store.dtypes.DTYPES`.
    """
    crc = zlib.crc32(json.dumps(attributes, sort_keys=True).encode())
    crc = zlib.crc32(f"{' '.join(map(str, shape))} {dtype}".encode(), crc)
    for name in NUMBERS:
        crc = zlib.crc32(np.ascontiguousarray(columns[name], "<i8").data, crc)
    crc = zlib.crc32(np.ascontiguousarray(columns["crc32"], "<u4").data, crc)
    for name in TEXTS:
        crc = zlib.crc32(b"".join(text + b"\0" for text in columns[name].tolist()), crc)
    return crc
