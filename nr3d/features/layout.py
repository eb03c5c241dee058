"""What stands where in a feature store, and opening one.

A store is an HDF5 file. Its datasets have a row for each tracklet, in the same order:

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
=================  =================  ==============================================================

``frame_weights`` (F,) f4 has the frames of all tracklets, each frame's share in its clip's feature;
a clip's shares sum to 1. Attributes of the file: ``format``, ``version``, ``complete`` (whether all
that was asked for is there), ``dataset``, ``weights`` and ``weights_sha256``, and as JSON
``settings`` (what the features depend on), ``config`` and ``versions``.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nr3d.errors import FeatureStoreError

if TYPE_CHECKING:
    import h5py

FORMAT, VERSION = "nr3d features", 1

SPLITS = ("train", "query", "gallery")

DTYPES = ("float32", "float16")
"""Types that features can be kept in."""

NUMBERS = ("index", "pid", "camid", "frames", "clips", "first_frame")
TEXTS = ("split", "name")
COLUMNS = ("features", *NUMBERS, *TEXTS)


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
        dtype: that the features are kept in, of :data:`DTYPES`.
    """

    dataset: str
    weights: str
    weights_sha256: str
    settings: Mapping[str, Any]
    config: Mapping[str, Any]
    versions: Mapping[str, str]
    dtype: str = "float32"

    @property
    def binding(self) -> dict[str, Any]:
        """What all features of a store have in common; paths and versions do not count."""
        return {
            "dataset": self.dataset,
            "weights_sha256": self.weights_sha256,
            "dtype": self.dtype,
            **self.settings,
        }


def start(path: Path, origin: Origin) -> None:
    """Write a store without rows."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs.update(
            format=FORMAT,
            version=VERSION,
            complete=False,
            dataset=origin.dataset,
            weights=origin.weights,
            weights_sha256=origin.weights_sha256,
        )
        for name in ("settings", "config", "versions"):
            file.attrs[name] = json.dumps(getattr(origin, name))
        for name in NUMBERS:
            file.create_dataset(name, (0,), "i8", maxshape=(None,), chunks=(4096,))
        for name in TEXTS:
            file.create_dataset(name, (0,), h5py.string_dtype(), maxshape=(None,), chunks=(4096,))
        file.create_dataset("frame_weights", (0,), "f4", maxshape=(None,), chunks=(65536,))
        # The width is that of the first row.
        file.create_dataset(
            "features", (0, 0), origin.dtype, maxshape=(None, None), chunks=(64, 512)
        )


@contextlib.contextmanager
def reading(path: Path) -> Iterator[h5py.File]:
    """Open a store and check that it is one, and whole.

    Raises:
        FeatureStoreError: if it is missing, damaged, cut short, or of another format or version.
    """
    import h5py

    if not path.is_file():
        raise FeatureStoreError(f"There is no feature store {path}: make it by nr3d extract.")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise FeatureStoreError(
                    f"{path} is an HDF5 file and no feature store: give one that nr3d extract made."
                )
            if file.attrs["version"] != VERSION:
                raise FeatureStoreError(
                    f"{path} is a feature store of version {file.attrs['version']}, expected "
                    f"{VERSION}: extract the features again, or use the nr3d that made it."
                )
            rows = {name: len(file[name]) for name in COLUMNS}
            frames = int(np.sum(file["frames"][:]))
            if len(set(rows.values())) > 1 or len(file["frame_weights"]) != frames:
                raise FeatureStoreError(f"{path} is damaged: its columns differ in length. {_MEND}")
            yield file
    # h5py gives OSError for a file that is cut short, and others for what it cannot decode.
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise FeatureStoreError(
            f"{path} cannot be read as a feature store ({error}): it is cut short or damaged. "
            f"{_MEND}"
        ) from error


_MEND = "Remove it and extract the features again."


def origin_in(file: h5py.File) -> Origin:
    """Give what a store says of its features."""
    attributes = file.attrs
    return Origin(
        dataset=attributes["dataset"],
        weights=attributes["weights"],
        weights_sha256=attributes["weights_sha256"],
        dtype=str(file["features"].dtype),
        **{name: json.loads(attributes[name]) for name in ("settings", "config", "versions")},
    )


def texts(file: h5py.File, name: str) -> npt.NDArray[np.object_]:
    """Give a column of texts."""
    column: npt.NDArray[np.object_] = file[name].asstr()[:]
    return column


def keys_in(file: h5py.File) -> set[tuple[str, int]]:
    """Give what tells each row of a store from the others: its split, and its index there."""
    return set(zip(texts(file, "split").tolist(), file["index"][:].tolist(), strict=True))
