"""Parsing of index entries, with a check of every field."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from nr3d.errors import WeightsError, shown
from nr3d.files.home import expanded
from nr3d.weights.entry import (
    ATTENTION_STATES,
    DISTANCES,
    FEATURES,
    INDEX_PROTOCOLS,
    KINDS,
    Metric,
    Source,
    WeightsEntry,
)

_NAME = re.compile(r"[A-Za-z0-9_]+\.[A-Za-z0-9][A-Za-z0-9_-]*")
_HASH = re.compile(r"[0-9a-f]{8,64}")


def parse_entry(name: object, content: object, where: str) -> WeightsEntry:
    """Return the entry that an index file describes.

    Args:
        name: ``architecture.tag``.
        content: values by field name, as returned by :meth:`WeightsEntry.to_mapping`.
        where: path of the index file, for messages; the path of a ``path`` source may be relative
            to its folder.

    Raises:
        WeightsError: if the entry is invalid; the message names it, its first wrong field and the
            reason.
    """

    def refuse(what: str, reason: str) -> WeightsError:
        return WeightsError(f"{where}: entry {str(name)[:100]}: {what} {reason}. Correct it there.")

    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise WeightsError(
            f"{where}: {shown(name)} is not a name for weights, expected architecture.tag such as "
            "nr3d_resnet50_ibn.mars. Correct it there."
        )
    if not isinstance(content, Mapping):
        raise refuse(
            "its content", f"is {shown(content)}, expected fields such as sources and sha256"
        )
    unknown = [key for key in content if key not in _FIELDS]
    if unknown:
        close = difflib.get_close_matches(shown(unknown[0]).strip("'"), _FIELDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"fields are {', '.join(_FIELDS)}"
        raise refuse(f"field {shown(unknown[0])}", f"is not known; {hint}")
    values: dict[str, Any] = {}
    for key, value in content.items():
        if value is None:
            continue
        try:
            values[key] = _FIELDS[key](value)
        except _BadValueError as error:
            raise refuse(f"field {key}", str(error)) from None
    entry = WeightsEntry(name, where=where, **values)
    base = Path(where).parent
    try:
        sources = tuple(
            replace(source, path=str(base / expanded(source.path, WeightsError)))
            if source.path
            else source
            for source in entry.sources
        )
    except WeightsError as error:
        raise refuse("field sources", f"has a path that cannot be used: {error}") from None
    return replace(entry, sources=sources)


class _BadValueError(ValueError):
    """An invalid value of a field; its message continues after the field's name."""


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _BadValueError(f"is {shown(value)}, expected a text")
    return value


def _file_name(value: object) -> str:
    if Path(_text(value)).name != value:
        raise _BadValueError(f"is {shown(value)}, expected a file's name without folders")
    return str(value)


def _one_of(*choices: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if value not in choices:
            raise _BadValueError(f"is {shown(value)}, expected one of {', '.join(choices)}")
        return str(value)

    return check


def _registered_name(value: object) -> str:
    """Check the name of an aggregation, which need not be registered in this process."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_]{1,100}", value):
        raise _BadValueError(f"is {shown(value)}, expected a name such as attention or mean")
    return value


def _count_to(most: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise _BadValueError(f"is {shown(value)}, expected a whole number from 1")
        if value > most:
            raise _BadValueError(f"is {shown(value)}, expected a whole number from 1 to {most:,}")
        return value

    return check


_side = _count_to(100_000)


def _hash(value: object) -> str:
    text = value.lower() if isinstance(value, str) else ""
    if not _HASH.fullmatch(text):
        raise _BadValueError(
            f"is {shown(value)}, expected 64 hexadecimal digits in quotes, or the first 8 or more "
            "of them"
        )
    return text


def _list(value: object) -> Sequence[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise _BadValueError(f"is {shown(value)}, expected a list")
    return value


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_text(item) for item in _list(value))


def _input_size(value: object) -> tuple[int, int]:
    sides = [_side(side) for side in _list(value)]
    if len(sides) != 2:
        raise _BadValueError(f"is {shown(value)}, expected [height, width] in pixels")
    return sides[0], sides[1]


def _channels(value: object) -> tuple[float, float, float]:
    numbers = _list(value)
    if len(numbers) != 3 or not all(type(n) in (int, float) for n in numbers):
        raise _BadValueError(f"is {shown(value)}, expected three numbers")
    if not all(-1e6 <= n <= 1e6 for n in numbers):
        raise _BadValueError(f"is {shown(value)}, expected three numbers near 0..1")
    return float(numbers[0]), float(numbers[1]), float(numbers[2])


def _divisors(value: object) -> tuple[float, float, float]:
    numbers = _channels(value)
    if min(numbers) <= 0:
        raise _BadValueError(f"is {shown(value)}, expected three numbers above 0")
    return numbers


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _BadValueError(f"is {shown(value)}, expected names with values")
    return {_plain_text(key): inner for key, inner in value.items()}


def _plain_text(value: object) -> str:
    """Return a text unchanged, and a number, such as a version that YAML misreads, as text."""
    if isinstance(value, str):
        return value
    if not isinstance(value, int | float) or not -(1 << 63) < value < 1 << 63:
        raise _BadValueError(f"holds {shown(value)}, expected a text")
    return str(value)


def _config(value: object) -> str | Mapping[str, Any]:
    if isinstance(value, str):
        return _text(value)
    sections = _mapping(value)
    level: list[object] = [sections]
    left = _MOST_KEYS
    for _ in range(_DEEPEST):
        inner: list[object] = []
        for each in level:
            if isinstance(each, Mapping | list | tuple):
                left -= len(each)
                if left < 0:
                    raise _BadValueError(f"holds more than {_MOST_KEYS:,} values")
                inner.extend(each.values() if isinstance(each, Mapping) else each)
            elif not isinstance(each, str | int | float | None):
                raise _BadValueError(f"holds {shown(each)}, expected plain values")
        level = inner
    if level:
        raise _BadValueError(f"is nested deeper than {_DEEPEST}")
    return sections


_MOST_KEYS, _DEEPEST = 10_000, 10
"""Maximum number of values in a configuration, and maximum depth of their nesting."""


def _versions(value: object) -> Mapping[str, str]:
    return {name: _plain_text(version) for name, version in _mapping(value).items()}


def _sources(value: object) -> tuple[Source, ...]:
    return tuple(parse_source(item) for item in _list(value))


def parse_source(value: object) -> Source:
    """Return the source that an address or its fields describe.

    Args:
        value: URL or path as a string, or a mapping with the fields of :class:`Source`.

    Raises:
        ValueError: if it is neither; the message states what was expected.
    """
    if isinstance(value, str):
        value = {"url" if "://" in value else "path": value}
    if not isinstance(value, Mapping):
        raise _BadValueError(f"holds {shown(value)}, expected an address or its fields")
    known = [item.name for item in fields(Source)]
    for key, inner in value.items():
        if key not in known:
            raise _BadValueError(f"has a {shown(key)}, expected {', '.join(known)}")
        if not isinstance(inner, str) or not inner:
            raise _BadValueError(f"has {key} {shown(inner)}, expected a text")
    places = [key for key in ("url", "drive", "zip", "path") if key in value]
    if len(places) != 1:
        raise _BadValueError(
            f"has {shown(value)}, expected exactly one of url, drive, zip and path"
        )
    if ("member" in value) != ("zip" in value):
        raise _BadValueError(f"has {shown(value)}, expected zip and member together")
    for key in ("url", "zip"):
        if key in value and not re.match(r"https?://[^/]", value[key]):
            raise _BadValueError(f"has {key} {shown(value[key])}, expected https://…")
    checked = {key: _hash(inner) if key == "sha256" else inner for key, inner in value.items()}
    return Source(**checked)


def _metrics(value: object) -> tuple[Metric, ...]:
    found = []
    for item in _list(value):
        known = {"dataset", "protocol", "kind", "values"}
        if not isinstance(item, Mapping) or set(item) - {"tracklets"} != known:
            raise _BadValueError(
                f"holds {shown(item)}, expected dataset, protocol, kind and values"
            )
        values = _mapping(item["values"])
        for name, share in values.items():
            if type(share) not in (int, float) or not 0 <= share <= 1:
                raise _BadValueError(f"has {name} {shown(share)}, expected a share from 0 to 1")
        found.append(
            Metric(
                _text(item["dataset"]),
                _one_of(*INDEX_PROTOCOLS)(item["protocol"]),
                _one_of(*KINDS)(item["kind"]),
                {name: float(share) for name, share in values.items()},
                _text(item["tracklets"]) if "tracklets" in item else None,
            )
        )
    return tuple(found)


_FIELDS: dict[str, Callable[[object], Any]] = {
    "sources": _sources,
    "sha256": _hash,
    "size": _count_to(1 << 60),
    "layout": _text,
    "trained_on": _texts,
    "identities": _count_to(1 << 31),
    "input_size": _input_size,
    "frames": _count_to(100_000),
    "mean": _channels,
    "std": _divisors,
    "aggregation": _registered_name,
    "attention": _one_of(*ATTENTION_STATES),
    "feature": _one_of(*FEATURES),
    "dist_metric": _one_of(*DISTANCES),
    "metrics": _metrics,
    "licence": _text,
    "origin": _text,
    "config": _config,
    "versions": _versions,
    "file": _file_name,
}
