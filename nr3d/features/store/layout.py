"""What stands where in a feature store.

A store is an HDF5 file. Its datasets have a row for each tracklet, by split and index:

=================  =================  ==============================================================
``features``       (N, D) f4 or f2    the tracklet's feature
``split``          (N,) text          ``train``, ``query`` or ``gallery``
``index``          (N,) i8            the tracklet's place in its split
``pid``            (N,) i8            person; in ``train`` the training label
``camid``          (N,) i8            camera, from 0
``name``           (N,) text          the tracklet's first frame, within the folder of that
``frames``         (N,) i8            frames that were read
``clips``          (N,) i8            clips that they made
``first_frame``    (N,) i8            where the tracklet's frames start in ``frame_weights``
``crc32``          (N,) u4            CRC-32 of all of the row: see :func:`crc32_of_row`
=================  =================  ==============================================================

``frame_weights`` (F,) f4 has the frames of all tracklets, each frame's share in its clip's feature;
a clip's shares sum to 1. Attributes of the file: ``format``, ``version``, ``dataset``, ``weights``
and ``weights_sha256``, and as JSON ``settings`` (what the features depend on), ``config``,
``versions``, ``tracklets`` (how many the dataset has in each split) and ``asked`` (the splits that
extraction was asked for); ``crc32`` is that of these and of the columns, see
:func:`crc32_of_tables`. A split is whole if it has as many rows as ``tracklets`` says. Texts are
UTF-8 of fixed length, and a file name's bytes that are not UTF-8 are as they are.

Version 1 has texts of variable length, no ``crc32``, and in place of ``tracklets`` and ``asked``
``complete``, which an extraction of one split set for all.
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

DTYPES = ("float32", "float16")
"""Types that features can be kept in."""

NUMBERS = ("index", "pid", "camid", "frames", "clips", "first_frame")
TEXTS = ("split", "name")
FACTS = ("dataset", "weights", "weights_sha256")
"""Attributes that are texts."""
VALUES = ("settings", "config", "versions")
"""Attributes that are JSON objects, in every version."""

Floats = npt.NDArray[np.floating[Any]]
Columns = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Origin:
    """Where features come from.

    Args:
        dataset: its name.
        weights: file or name in the weights index.
        weights_sha256: of the file.
        settings: what the features depend on beside the weights, as plain values.
        config: the configuration, as plain values.
        versions: of the packages.
        tracklets: how many the dataset has in each split; empty for a store of version 1, which
            does not know.
        dtype: that the features are kept in, of :data:`DTYPES`.
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
        """What all features of a store have in common; paths and versions do not count.

        A setting that a store of an earlier version does not name is that of its configuration.
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
    """What a store says of itself.

    Args:
        origin: of its features.
        asked: the splits that extraction was asked for, in the order of :data:`SPLITS`; none in
            version 1.
        version: of its layout.
    """

    origin: Origin
    asked: tuple[str, ...]
    version: int = VERSION

    def attributes(self) -> dict[str, str | int]:
        """Give the file's attributes, of the newest version."""
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
    """Give the CRC-32 of one tracklet.

    It is that of the text ``index pid camid clips frames size split name``, with a space between
    two, then the feature's bytes and those of the frames' weights, little-endian.

    Args:
        facts: index, pid, camid and clips.
        split, name: in UTF-8.
        feature: (D,), as it is kept.
        frame_weights: (frames,), float32.
    """
    numbers = " ".join(map(str, (*facts, len(frame_weights), len(feature))))
    text = b" ".join((numbers.encode(), split, name))
    return zlib.crc32(frame_weights.data, zlib.crc32(feature.data, zlib.crc32(text)))


def crc32_of_tables(
    attributes: Mapping[str, str | int], columns: Columns, shape: tuple[int, ...], dtype: str
) -> int:
    """Give the CRC-32 of all but the features and frames' weights, which the rows' cover.

    It is that of ``attributes`` as JSON with sorted keys, of the text ``N D dtype``, and of the
    columns of :data:`NUMBERS`, ``crc32``, and, with a zero byte after each text, :data:`TEXTS`.

    Args:
        attributes: all but ``crc32`` itself.
        columns: all but ``features``.
        shape: of ``features``.
        dtype: of ``features``.
    """
    crc = zlib.crc32(json.dumps(attributes, sort_keys=True).encode())
    crc = zlib.crc32(f"{' '.join(map(str, shape))} {dtype}".encode(), crc)
    for name in NUMBERS:
        crc = zlib.crc32(np.ascontiguousarray(columns[name], "<i8").data, crc)
    crc = zlib.crc32(np.ascontiguousarray(columns["crc32"], "<u4").data, crc)
    for name in TEXTS:
        crc = zlib.crc32(b"".join(text + b"\0" for text in columns[name].tolist()), crc)
    return crc
