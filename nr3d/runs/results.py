"""The results that finished runs leave in their folders, read and checked.

Nothing here needs torch: ``nr3d table`` starts with this module alone.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nr3d.config import KEYS
from nr3d.errors import DataError, parsing, shown

RESULT_FILE = "result.json"
"""The result of a finished run, in its folder."""

SPLITS_FILE = "splits.json"
"""The result of a finished run over splits, in its folder."""

_PROTOCOL = KEYS["test.protocol"]
_RANKS = KEYS["test.ranks"]

_ADVICE = (
    "Delete it and train again with the same command, which resumes from the last checkpoint and "
    "writes it anew."
)
_RANK = re.compile(r"rank-([1-9]\d{0,3})")


def read_result(folder: str | Path) -> dict[str, Any] | None:
    """Read the result of a finished run, ``result.json``.

    Args:
        folder: the folder of the run.

    Returns:
        dict: the content of the file; None if the folder has no such file.

    Raises:
        DataError: if the file does not hold what a run writes; the message names the file.
    """
    path = Path(folder) / RESULT_FILE
    return _read(path, "the result of a run", _check_result)


def read_splits_result(folder: str | Path) -> dict[str, Any] | None:
    """Read the result of a finished run over splits, ``splits.json``.

    Args:
        folder: the folder of the run over splits.

    Returns:
        dict: the content of the file; None if the folder has no such file.

    Raises:
        DataError: if the file does not hold what such a run writes; the message names the file.
    """
    path = Path(folder) / SPLITS_FILE
    return _read(path, "the result of a run over splits", _check_splits)


def figures_of(result: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures among a dataset's results: ``rank-1`` and other ranks, and ``mAP``.

    Args:
        result: the results of one dataset, of which the figures are shares from 0 to 1.

    Examples:
        >>> figures_of({"rank-1": 0.5, "mAP": 0.25, "query": 8})
        {'rank-1': 0.5, 'mAP': 0.25}
    """
    return {name: share for name, share in result.items() if name == "mAP" or _is_rank(name)}


def require_figures(
    result: Mapping[str, Any], datasets: Sequence[str], ranks: Sequence[int], folder: str | Path
) -> None:
    """Refuse a result that lacks a dataset or a rank which its configuration reports.

    Args:
        result: the result, as :func:`read_result` returns it.
        datasets: the names of the datasets that the run tested.
        ranks: the ranks that the run reported, from 1.
        folder: the folder of the run.

    Raises:
        DataError: if something is missing; the message names the file and what it lacks.
    """
    path = Path(folder) / RESULT_FILE
    with parsing(path, "the result of a run", _ADVICE):
        for dataset in datasets:
            if dataset not in result["results"]:
                raise ValueError(f"results has no {dataset}")
            for rank in ranks:
                if f"rank-{rank}" not in result["results"][dataset]:
                    raise ValueError(f"results of {dataset} has no rank-{rank}")


def _read(path: Path, what: str, check: Any) -> dict[str, Any] | None:
    try:
        with parsing(path, what, _ADVICE):
            content = _mapping(json.loads(path.read_text(encoding="utf-8")), "the file")
            check(content)
    except DataError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
    return content


def _check_result(content: dict[str, Any]) -> None:
    _check_origin(content)
    results = _mapping(_of(content, "results"), "results")
    if not results:
        raise ValueError("results is empty")
    for dataset, found in results.items():
        _text(dataset, "a dataset's name")
        _check_figures(_mapping(found, f"results of {dataset}"), f"results of {dataset}")
        _check_protocol(found)
    if "config" in content:
        config = _mapping(content["config"], "config")
        for section in ("data", "model", "train"):
            _mapping(_of(config, section), f"config's {section}")


def _check_splits(content: dict[str, Any]) -> None:
    _check_origin(content)
    _check_protocol(content)
    _text(_of(content, "dataset"), "dataset")
    rows = [_mapping(row, "a split") for row in _list(_of(content, "splits"), "splits")]
    numbers = [_of(row, "split") for row in rows]
    if not rows or not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError(f"splits are {shown(numbers)}, expected numbers from 0")
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"splits are {shown(numbers)}, expected each once")
    mean = _mapping(_of(content, "mean"), "mean")
    for row in (*rows, mean):
        _check_figures(row, "a split" if row is not mean else "mean")
    for name, share in figures_of(mean).items():
        shares = [_of(row, name) for row in rows]
        if not math.isclose(share, statistics.fmean(shares), abs_tol=1e-6):
            raise ValueError(f"mean {name} is {share}, and that of its splits is another")
    std = _mapping(_of(content, "std"), "std")
    _of(std, "rank-1")
    for name, share in std.items():
        if len(rows) == 1 and share is not None:
            raise ValueError(f"std {shown(name)} is {shown(share)}, expected null of one split")
        if len(rows) > 1 and not (type(share) in (int, float) and 0 <= share <= 1):
            raise ValueError(f"std {shown(name)} is {shown(share)}, expected a share from 0 to 1")


def _check_origin(content: Mapping[str, Any]) -> None:
    """Check the name of the network and what it was trained on."""
    _text(_of(content, "model"), "model")
    _names(_of(content, "trained_on"), "trained_on")
    started_from = _of(content, "started_from")
    if started_from is not None:
        _names(_of(_mapping(started_from, "started_from"), "trained_on"), "trained_on")


def _check_protocol(content: Mapping[str, Any]) -> None:
    protocol = content.get("protocol", _PROTOCOL.default)
    expected = _PROTOCOL.kind.expected(protocol)
    if expected is not None:
        raise ValueError(f"protocol is {shown(protocol)}, expected {expected}")
    dropped = content.get("distractors_dropped", False)
    if type(dropped) is not bool:
        raise ValueError(f"distractors_dropped is {shown(dropped)}, expected true or false")


def _check_figures(found: Mapping[str, Any], where: str) -> None:
    for name in ("rank-1", "mAP"):
        if name not in found:
            raise ValueError(f"{where} has no {name}")
    for name, share in figures_of(found).items():
        if type(share) not in (int, float) or not 0 <= share <= 1:
            raise ValueError(f"{where} has {name} {shown(share)}, expected a share from 0 to 1")


def _is_rank(name: str) -> bool:
    rank = _RANK.fullmatch(name)
    return rank is not None and _RANKS.kind.expected([int(rank[1])]) is None


def _of(content: Mapping[str, Any], key: str) -> Any:
    if key not in content:
        raise ValueError(f"it has no {key}")
    return content[key]


def _mapping(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {shown(value)}, expected names with values")
    return value


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{where} is {shown(value)}, expected a list")
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError(f"{where} is {shown(value)}, expected a name")
    return value


def _names(value: object, where: str) -> list[str]:
    return [_text(name, where) for name in _list(value, where)]
