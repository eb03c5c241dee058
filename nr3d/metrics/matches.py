"""Matches of each query, found in blocks of distances, and the query's figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nr3d.errors import DataError
from nr3d.metrics.labels import Labels
from nr3d.metrics.places import Block, places

Key = TypeVar("Key")

# Bytes that an entry of the query's person costs while a block is searched: sixteen numbers of 8
# bytes that live at the same time (columns, owners, places, the sort's keys and their order, …).
_PAIR_BYTES = 128


@dataclass(frozen=True)
class Matches:
    """Matches of each query, all (Q,); a query without one is not valid and has zeros.

    With n matches at the places r_1 < … < r_n (from 1) of what is left of the gallery, i the
    number of a match::

        steps             1/n Σ_i i/r_i
        trapezoids        1/n Σ_i (i/r_i + (i-1)/(r_i - 1)) / 2,  the second term 1 at r_i = 1
        inverse_penalty   n / r_n

    Reference:
        Zheng et al. Scalable Person Re-identification: A Benchmark. ICCV 2015 (trapezoids, in its
        code). Ye et al. Deep Learning for Person Re-identification: A Survey and Outlook. TPAMI
        2021. arXiv:2001.04193 (the inverse negative penalty).

    Attributes:
        valid: whether the query has a match.
        first: place of the first match, from 0.
        steps: average precision by steps, 0..1.
        trapezoids: average precision by trapezoids, 0..1.
        inverse_penalty: inverse negative penalty, 0..1.
    """

    valid: npt.NDArray[np.bool_]
    first: npt.NDArray[np.int64]
    steps: npt.NDArray[np.float64]
    trapezoids: npt.NDArray[np.float64]
    inverse_penalty: npt.NDArray[np.float64]

    @classmethod
    def joined(cls, pieces: Sequence[Matches]) -> Matches:
        """Return the queries of several pieces, one after the other."""
        return cls(
            *(np.concatenate([getattr(p, field.name) for p in pieces]) for field in fields(cls))
        )


class View:
    """A gallery as one protocol sees it: some columns of the distances, and the people in them.

    Args:
        query: persons and cameras of the queries, (Q,).
        gallery: persons and cameras in the columns, (G,).
        columns: columns of a block that the gallery takes; default is all.
    """

    def __init__(
        self,
        query: Labels,
        gallery: Labels,
        columns: slice | npt.NDArray[np.int64] = slice(None),
    ) -> None:
        self.query, self.gallery, self.columns = query, gallery, columns
        # Sorted by person: the entries of a query's person are found without a (Q, G) mask.
        self._by_person = np.argsort(gallery.pids, kind="stable")
        people = gallery.pids[self._by_person]
        self._first = np.searchsorted(people, query.pids, side="left")
        self._count = np.searchsorted(people, query.pids, side="right") - self._first

    @property
    def row_bytes(self) -> int:
        """Largest memory that searching a row takes besides the row itself, in bytes."""
        copy = 4 * len(self.gallery) if isinstance(self.columns, np.ndarray) else 0
        return copy + _PAIR_BYTES * int(self._count.max(initial=0))

    def same_person(self, part: slice) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the gallery entries of some queries' persons, and where each query's begin."""
        count = self._count[part]
        offsets = np.concatenate([[0], np.cumsum(count)])
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], count)
        return offsets, self._by_person[np.repeat(self._first[part], count) + within]

    def _own(self, block: Block) -> Block:
        if isinstance(block, np.ndarray) and isinstance(self.columns, np.ndarray):
            return block.take(self.columns, axis=1)  # an index would turn the rows into columns
        return block[:, self.columns]

    def matches(self, block: Block, part: slice) -> Matches:
        """Return the matches of some queries.

        Args:
            block: distances of the queries, (b, columns).
            part: rows of these queries among all queries.
        """
        block = self._own(block)
        offsets, entries = self.same_person(part)
        place = places(block, offsets, entries)
        owner = np.repeat(np.arange(len(block)), np.diff(offsets))
        nearest_first = np.argsort(owner * len(self.gallery) + place)  # still row by row
        place, entries = place[nearest_first], entries[nearest_first]

        # Entries under the query's own camera are left out, and those behind them move up.
        left_out = self.gallery.camids[entries] == self.query.camids[part][owner]
        gone = np.concatenate([[0], np.cumsum(left_out)])
        place -= gone[:-1] - gone[offsets[:-1]][owner]
        kept = ~left_out
        return _figures(len(block), owner[kept], place[kept])


def find_matches(blocks: Iterable[Block], views: Mapping[Key, View]) -> dict[Key, Matches]:
    """Find the matches in distances that come a block of query rows at a time.

    Args:
        blocks: blocks of distances, (b, columns) each, their rows in the queries' order.
        views: views of the gallery for the same queries, by any key.

    Returns:
        dict: the matches of all queries, by the key of the view.

    Raises:
        DataError: if a distance is NaN.

    Examples:
        >>> query, gallery = Labels.of([1], [0]), Labels.of([2, 1, 1], [1, 1, 2])
        >>> find_matches([np.array([[0.1, 0.2, 0.3]])], {"all": View(query, gallery)})["all"].steps
        array([0.58333333])
    """
    pieces: dict[Key, list[Matches]] = {key: [] for key in views}
    for part, block in numbered(blocks):
        for key, view in views.items():
            pieces[key].append(view.matches(block, part))
    return {key: Matches.joined(found) for key, found in pieces.items()}


def numbered(blocks: Iterable[Block]) -> Iterator[tuple[slice, Block]]:
    """Yield blocks with the rows that they cover; blocks on the CPU become NumPy arrays.

    Raises:
        DataError: if a distance is NaN.
    """
    start = 0
    for block in blocks:
        if isinstance(block, Tensor):
            block = block.detach()
            if block.dtype == torch.bfloat16:  # NumPy has no such numbers
                block = block.float()
            if block.device.type == "cpu":
                block = block.numpy()
        # The minimum is NaN if any number is, and needs no mask of the block.
        least = block.min() if block.shape[1] else 0
        if least != least:
            rows = block.isnan() if isinstance(block, Tensor) else np.isnan(block)
            bad = start + int(rows.any(1).nonzero()[0][0])
            raise DataError(
                f"A distance of query {bad} is not a number, and cannot be ranked: its features, "
                "or what computed the distances from them, are damaged or too large."
            )
        yield slice(start, start + len(block)), block
        start += len(block)


def _figures(queries: int, owner: npt.NDArray[np.int64], place: npt.NDArray[np.int64]) -> Matches:
    """Compute the figures from each match's query and place (from 0), nearest first."""
    count = np.bincount(owner, minlength=queries)
    end = np.cumsum(count)
    number = np.arange(1, len(owner) + 1) - (end - count)[owner]  # of the match, from 1
    valid = count > 0

    def mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        total = np.bincount(owner, weights=values, minlength=queries)
        return total / np.maximum(count, 1)

    precision = number / (place + 1)
    before = np.where(place > 0, (number - 1) / np.maximum(place, 1), 1.0)
    first, inverse_penalty = np.zeros(queries, np.int64), np.zeros(queries)
    first[valid] = place[(end - count)[valid]]
    inverse_penalty[valid] = precision[end[valid] - 1]
    return Matches(valid, first, mean(precision), mean((precision + before) / 2), inverse_penalty)


def require_a_match(valid: npt.NDArray[np.bool_]) -> None:
    """Refuse a set of queries without any match.

    Raises:
        DataError: if no query has a match.
    """
    if not valid.any():
        raise DataError(
            f"None of the {len(valid)} queries has its person in the gallery under another "
            "camera: nothing can be evaluated. Check the test set's persons and cameras."
        )
