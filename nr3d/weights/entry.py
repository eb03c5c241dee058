"""Entries of the weights index: where to get a published file, and what is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from nr3d.config.aggregation import keys_of

IMAGENET_TAG = "imagenet"
"""The tag of the weights that ``pretrained=True`` loads."""

FEATURES = ("after", "before")
"""Places where a network's feature is taken: after or before the neck's normalisation."""

ATTENTION_STATES = ("flat", "alive")
"""States of an attention: ``flat`` if it weights all frames of a clip equally, as a mean does."""

DISTANCES = ("euclidean", "cosine")
INDEX_PROTOCOLS = ("torchreid", "mars-official", "ap3d", "imagenet-val")
KINDS = ("reported", "measured")


@dataclass(frozen=True)
class Source:
    """One location of a file; exactly one of ``url``, ``drive``, ``zip`` and ``path`` is set.

    Args:
        url: the https (or http) address of the file.
        drive: the Google Drive id of the file.
        zip: the address of a zip archive that holds the file as ``member``.
        member: the path of the file in the archive, or its trailing folders and name.
        path: the path of the file on this machine.
        sha256: the hash of this source's bytes if they differ from the entry's: all of its digits,
            or at least the first 8.
    """

    url: str | None = None
    drive: str | None = None
    zip: str | None = None
    member: str | None = None
    path: str | None = None
    sha256: str | None = None

    def __str__(self) -> str:
        """Return the address in readable form."""
        if self.drive:
            return f"Google Drive {self.drive}"
        if self.zip:
            return f"{self.zip} ({self.member})"
        return str(self.url or self.path)


@dataclass(frozen=True)
class Metric:
    """Figures of one network on one dataset.

    Args:
        dataset: the name of the dataset, such as ``mars``.
        protocol: ``torchreid`` (queries kept out of the gallery, precision by steps),
            ``mars-official`` (queries in the gallery, precision by trapezoids), ``ap3d``
            (queries in the gallery, precision by steps) or ``imagenet-val`` (one central crop).
        kind: ``reported`` by the authors, or ``measured`` with this package.
        values: figures in 0..1 by name (``rank-1``, ``mAP``, ``top-1``).
        tracklets: kind of the tracklets if they are no video, one of
            :data:`nr3d.data.datasets.parts.KINDS`; None if they are.
    """

    dataset: str
    protocol: str
    kind: str
    values: Mapping[str, float]
    tracklets: str | None = None


@dataclass(frozen=True)
class WeightsEntry:
    """One weights file: where to get it, how to verify it, and how to use it.

    Unknown fields are None or empty; nothing is guessed.

    Args:
        name: the ``architecture.tag``, such as ``nr3d_resnet50_ibn.imagenet``.
        sources: the locations of the file, in the order in which they are tried.
        sha256: the hash of the file: all of its digits, or at least the first 8.
        size: the size of the file, in bytes.
        layout: the layout of its keys, one of :data:`nr3d.weights.LAYOUTS`.
        trained_on: the names of the datasets that it was trained on.
        identities: K, the number of identities (classes) of its classifier.
        input_size: the height and width of its input, in pixels.
        frames: T, the number of frames per clip.
        mean, std: the normalisation of pixels in 0..1, per channel.
        aggregation: the registered name of the aggregation, such as ``attention`` or ``mean``.
        attention: ``flat`` if an attention weighted the frames of a clip equally when it was last
            tested or trained, else ``alive``; None for an aggregation that does not attend.
        feature: place where the feature is taken: ``after`` or ``before`` the neck's normalisation.
        dist_metric: the distance for comparing its features, ``euclidean`` or ``cosine``.
        metrics: the figures by dataset and protocol, reported or measured.
        licence: the SPDX name of the licence, as published with the file or its code.
        origin: the paper or page that it comes from.
        config: the name of a shipped configuration, or the sections and keys it was trained with.
        versions: the versions of the packages that it was trained with, by name.
        file: the name of the file that was published with its manifest.
        where: the index that holds the entry; not part of its content.

    Examples:
        >>> WeightsEntry("nr3d_resnet50_ibn.mine", (Source(path="mine.pth"),)).architecture
        'nr3d_resnet50_ibn'
    """

    name: str
    sources: tuple[Source, ...] = ()
    sha256: str | None = None
    size: int | None = None
    layout: str | None = None
    trained_on: tuple[str, ...] = ()
    identities: int | None = None
    input_size: tuple[int, int] | None = None
    frames: int | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    aggregation: str | None = None
    attention: str | None = None
    feature: str | None = None
    dist_metric: str | None = None
    metrics: tuple[Metric, ...] = ()
    licence: str | None = None
    origin: str | None = None
    config: str | Mapping[str, Any] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    file: str | None = None
    where: str = field(default="", compare=False)

    @property
    def architecture(self) -> str:
        """The registered name of the model that the weights fit."""
        return self.name.split(".")[0]

    @property
    def tag(self) -> str:
        """The part of the name that identifies one training of the model."""
        return self.name.split(".")[1]

    def hash_of(self, source: Source) -> str | None:
        """Return the SHA-256 of a source's bytes, or its first digits; None if unknown."""
        return source.sha256 or self.sha256

    def values(self, dataset: str) -> Metric | None:
        """Return the figures on a dataset, preferably measured ones; None if there are none."""
        found = [metric for metric in self.metrics if metric.dataset == dataset]
        return min(found, key=lambda metric: metric.kind) if found else None

    def changes(self) -> dict[str, Any]:
        """Return the configuration keys, and their values, for testing with this file."""
        found: dict[str, Any] = {"model.name": self.architecture}
        if self.input_size is not None:
            found |= {"data.height": self.input_size[0], "data.width": self.input_size[1]}
        for key, value in (
            ("video.seq_len", self.frames),
            ("data.norm_mean", None if self.mean is None else list(self.mean)),
            ("data.norm_std", None if self.std is None else list(self.std)),
            ("test.dist_metric", self.dist_metric),
        ):
            if value is not None:
                found[key] = value
        return found if self.aggregation is None else found | keys_of(self.aggregation)

    def to_mapping(self) -> dict[str, Any]:
        """Return the known fields as plain values, in the form of an index file."""
        plain: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name in ("name", "where") or value is None or value in ((), {}):
                continue
            if item.name == "sources":
                value = [_known(source) for source in value]
            elif item.name == "metrics":
                value = [_known(metric) for metric in value]
            plain[item.name] = _plain(value)
        return plain


def _known(record: Source | Metric) -> dict[str, Any]:
    values = {item.name: getattr(record, item.name) for item in fields(record)}
    return {name: value for name, value in values.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return value
