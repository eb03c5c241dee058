"""An entry of the weights index: one published file, where it lies and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

IMAGENET_TAG = "imagenet"
"""Tag of the file that ``pretrained=True`` loads."""

FEATURES = ("after", "before")
"""Where a network's feature is taken: after the neck's normalisation, or before it."""

DISTANCES = ("euclidean", "cosine")
PROTOCOLS = ("torchreid", "mars-official", "ap3d", "imagenet-val")
KINDS = ("reported", "measured")


@dataclass(frozen=True)
class Source:
    """One place where a file lies; exactly one of ``url``, ``drive``, ``zip`` and ``path`` is set.

    Args:
        url: https (or http) address of the file.
        drive: Google Drive id of the file.
        zip: address of a zip archive that holds the file as ``member``.
        member: its path in the archive, or the end of that path from a folder's name on.
        path: the file on this machine.
        sha256: of this source's bytes where they are not the entry's: the whole hash, or the
            first 8 digits or more.
    """

    url: str | None = None
    drive: str | None = None
    zip: str | None = None
    member: str | None = None
    path: str | None = None
    sha256: str | None = None

    def __str__(self) -> str:
        """The address, as a person reads it."""
        if self.drive:
            return f"Google Drive {self.drive}"
        if self.zip:
            return f"{self.zip} ({self.member})"
        return str(self.url or self.path)


@dataclass(frozen=True)
class Metric:
    """Figures of one network on one dataset.

    Args:
        dataset: such as ``mars``.
        protocol: ``torchreid`` (queries kept out of the gallery, precision by steps),
            ``mars-official`` (queries in the gallery, precision by trapezoids), ``ap3d``
            (queries in the gallery, precision by steps) or ``imagenet-val`` (one central crop).
        kind: ``reported`` by the authors, or ``measured`` with this package.
        values: figure's name (``rank-1``, ``mAP``, ``top-1``) to its share, 0..1.
    """

    dataset: str
    protocol: str
    kind: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class WeightsEntry:
    """One weights file: where it lies, how it is verified, and what belongs to using it.

    A field that is not known is None or empty; nothing is guessed.

    Args:
        name: ``architecture.tag``, such as ``nr3d_resnet50_ibn.imagenet``.
        sources: tried in this order.
        sha256: of the file, whole or the first 8 digits or more.
        size: of the file, in bytes.
        layout: how its keys are named, one of :data:`nr3d.weights.LAYOUTS`.
        trained_on: dataset names.
        identities: K, identities (classes) of its classifier.
        input_size: rows and columns in pixels.
        frames: T, frames of a clip.
        mean, std: of the pixels' normalisation, per channel, for pixels in 0..1.
        aggregation: the registered name of the aggregation, such as ``attention`` or ``mean``.
        feature: ``after`` or ``before`` the neck's normalisation.
        dist_metric: distance that its features are compared by, ``euclidean`` or ``cosine``.
        metrics: figures by dataset and protocol, reported or measured.
        licence: SPDX name, as published with the file or its code.
        origin: paper or page that it comes from.
        config: a shipped configuration's name, or the sections and keys it was trained with.
        versions: package name to version, of what it was trained with.
        file: name of the file that was published with its manifest.
        where: the index that holds the entry; not part of its content.

    Examples::
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
        """Registered name of the model that it fits."""
        return self.name.split(".")[0]

    @property
    def tag(self) -> str:
        """What the model was trained on or by."""
        return self.name.split(".")[1]

    def hash_of(self, source: Source) -> str | None:
        """SHA-256 that the bytes of a source must have, whole or its start; None if not known."""
        return source.sha256 or self.sha256

    def values(self, dataset: str) -> Metric | None:
        """The figures on a dataset, measured before reported; None if there are none."""
        found = [metric for metric in self.metrics if metric.dataset == dataset]
        return min(found, key=lambda metric: metric.kind) if found else None

    def changes(self) -> dict[str, Any]:
        """Configuration keys that testing with this file needs, and their values."""
        found: dict[str, Any] = {"model.name": self.architecture}
        if self.input_size is not None:
            found |= {"data.height": self.input_size[0], "data.width": self.input_size[1]}
        for key, value in (
            ("video.seq_len", self.frames),
            ("data.norm_mean", None if self.mean is None else list(self.mean)),
            ("data.norm_std", None if self.std is None else list(self.std)),
            ("test.dist_metric", self.dist_metric),
            ("not3d.aggregation", self.aggregation),
        ):
            if value is not None:
                found[key] = value
        return found

    def to_mapping(self) -> dict[str, Any]:
        """Give the fields that are known as plain values, the form of an index file."""
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
