"""Re-ranking by k-reciprocal neighbours: entries that share them with a query move closer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from nr3d.errors import DataError
from nr3d.metrics.distances import Distances, parts

SCRATCH = 6
"""Number of four-byte values that each distance of a block takes while it is re-ranked."""

_WORK = 1 << 26
"""Memory of a step's scratch arrays if the distances are given, in bytes."""

Ints = npt.NDArray[np.int64]


class Source(Protocol):
    """Distances between N = Q + G entries, queries first.

    Entry (i, j) is the distance from j to i: torchreid reads its matrix by columns, which matters
    where rounding has made it slightly asymmetric.
    """

    shape: tuple[int, int]

    def rows(self, part: slice) -> Tensor:
        """Return some rows, (b, N), which may be overwritten."""

    def at(self, rows: Ints, columns: Ints) -> npt.NDArray[Any]:
        """Return single distances, (P,)."""


class _Given:
    """Source of distances given as three matrices."""

    def __init__(self, q_g: npt.NDArray[Any], q_q: npt.NDArray[Any], g_g: npt.NDArray[Any]) -> None:
        self.q_g, self.q_q, self.g_g = q_g, q_q, g_g
        self.queries = len(q_g)
        self.shape = (sum(q_g.shape), sum(q_g.shape))

    def rows(self, part: slice) -> Tensor:
        """See :class:`Source`."""
        query = slice(part.start, min(part.stop, self.queries))
        gallery = slice(max(part.start - self.queries, 0), max(part.stop - self.queries, 0))
        of_query = np.concatenate([self.q_q[:, query].T, self.q_g[query]], axis=1)
        of_gallery = np.concatenate([self.q_g[:, gallery].T, self.g_g[:, gallery].T], axis=1)
        return torch.from_numpy(np.concatenate([of_query, of_gallery]))

    def at(self, rows: Ints, columns: Ints) -> npt.NDArray[Any]:
        """See :class:`Source`."""
        found = np.empty(len(rows), self.q_g.dtype)
        row_in_gallery, column_in_gallery = rows >= self.queries, columns >= self.queries
        for matrix, which, one, other in (
            (self.q_q, ~row_in_gallery & ~column_in_gallery, columns, rows),
            (self.q_g, ~row_in_gallery & column_in_gallery, rows, columns - self.queries),
            (self.q_g, row_in_gallery & ~column_in_gallery, columns, rows - self.queries),
            (
                self.g_g,
                row_in_gallery & column_in_gallery,
                columns - self.queries,
                rows - self.queries,
            ),
        ):
            found[which] = matrix[one[which], other[which]]
        return found


def re_ranking(
    q_g_dist: npt.NDArray[Any] | Tensor,
    q_q_dist: npt.NDArray[Any] | Tensor,
    g_g_dist: npt.NDArray[Any] | Tensor,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
) -> npt.NDArray[np.float32]:
    """Re-rank given distances as ``torchreid.utils.re_ranking`` does.

    With d_ij the squared given distance over the greatest of its column, R(i) the k-reciprocal
    neighbours of entry i, widened by those of its neighbours at k1/2 of which more than two thirds
    are in R(i) too::

        v_ij = exp(-d_ij) / Σ_{l∈R(i)} exp(-d_il) for j in R(i), else 0
        w_i  = mean of v over the k2 nearest entries to i
        J_ij = 1 - Σ_l min(w_il, w_jl) / (2 - Σ_l min(w_il, w_jl))
        out  = (1 - λ) J + λ d

    Reference:
        Zhong et al. Re-ranking Person Re-identification with k-reciprocal Encoding. CVPR 2017.
        arXiv:1701.08398. As in torchreid, a weight is exp(-d) over its row's sum, where the paper
        has exp(-d) alone, and J takes each row's sum to be 1. Deviations from torchreid: equal
        distances are ranked in the entries' order, queries first (torchreid's order is arbitrary
        there); a column of zeros stays 0 (its result is NaN there).

    Args:
        q_g_dist: distances between queries and gallery, (Q, G).
        q_q_dist: distances between queries, (Q, Q).
        g_g_dist: distances between gallery entries, (G, G).
        k1: number of neighbours that must be mutual, at least 1. Paper: 20.
        k2: number of neighbours whose encodings are averaged, at least 1; 1 uses only an entry's
            own. Paper: 6.
        lambda_value: λ, weight of the given distance, 0..1. Paper: 0.3.

    Returns:
        numpy.ndarray: re-ranked distances (Q, G).

    Raises:
        DataError: if a distance is not finite.
        ValueError: if the shapes do not fit each other, or k1, k2 or lambda_value is out of its
            range.

    Examples:
        >>> near = 1 - np.eye(2, dtype=np.float32)
        >>> re_ranking(near, near, near).round(2)
        array([[0. , 0.3],
               [0.3, 0. ]], dtype=float32)
    """
    matrices = [_array(each) for each in (q_g_dist, q_q_dist, g_g_dist)]
    queries, entries = matrices[0].shape
    shapes = tuple(matrix.shape for matrix in matrices)
    if shapes != ((queries, entries), (queries, queries), (entries, entries)):
        raise ValueError(f"the distances have shapes {shapes}, expected (Q, G), (Q, Q), (G, G)")
    if k1 < 1 or k2 < 1 or not 0 <= lambda_value <= 1:
        raise ValueError(
            f"k1 is {k1}, k2 {k2} and lambda_value {lambda_value}, expected 1 or more, 1 or more "
            "and a share from 0 to 1"
        )
    if not all(np.isfinite(matrix).all() for matrix in matrices):
        raise DataError("A distance to re-rank is not finite: the features are damaged.")
    given = _Given(*matrices)
    height = max(1, _WORK // (4 * SCRATCH * given.shape[0]))
    blocks = reranked(given, given.queries, height, k1=k1, k2=k2, lambda_value=lambda_value)
    return np.concatenate(list(blocks))


def _array(matrix: npt.NDArray[Any] | Tensor) -> npt.NDArray[Any]:
    return matrix.detach().cpu().numpy() if isinstance(matrix, Tensor) else matrix


def reranked_features(
    query: Tensor,
    gallery: Tensor,
    metric: str = "euclidean",
    *,
    height: int,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
) -> Iterator[npt.NDArray[np.float32]]:
    """Re-rank the distances between features, a block of query rows at a time.

    No array of N² = (Q + G)² numbers is held: the neighbours are found a block of rows at a time,
    and the encodings are sparse.

    Args:
        query: features of the queries, (Q, D).
        gallery: features of the gallery, (G, D), on the same device.
        metric: distance, as for :class:`nr3d.metrics.distances.Distances`.
        height: number of rows of distances that are computed at once.
        k1, k2, lambda_value: as for :func:`re_ranking`.

    Yields:
        numpy.ndarray: re-ranked distances (b, G) of the next b queries.
    """
    entries = torch.cat([query, gallery])
    source = Distances(entries, entries, metric)
    yield from reranked(source, len(query), height, k1=k1, k2=k2, lambda_value=lambda_value)


def reranked(
    source: Source, queries: int, height: int, *, k1: int, k2: int, lambda_value: float
) -> Iterator[npt.NDArray[np.float32]]:
    """Yield re-ranked distances (b, G) a block of query rows at a time, from any source."""
    entries = source.shape[0]
    neighbours, greatest = _nearest(source, max(k1 + 1, k2), height)
    encodings = _reciprocal(neighbours, k1)
    owner = np.repeat(np.arange(entries), np.diff(encodings.indptr))
    near = source.at(owner, encodings.indices.astype(np.int64))
    encodings.data = np.exp(-_normalised(near, greatest[owner]))
    encodings.data /= np.asarray(encodings.sum(axis=1)).ravel()[owner]
    if k2 != 1:
        nearest = neighbours[:, :k2]
        encodings = _members(nearest, np.ones(nearest.shape, np.bool_)) @ encodings
        encodings.data /= nearest.shape[1]
    by_neighbour = encodings[queries:].tocsc()
    for part in parts(queries, height):
        distances = source.rows(part)[:, queries:].cpu().numpy()
        distances = _normalised(distances, greatest[part, None])
        distances *= lambda_value
        for row, query in zip(distances, range(part.start, part.stop), strict=True):
            shared = _shared(encodings, by_neighbour, query)
            row += (1 - lambda_value) * (1 - shared / (2 - shared))
        yield distances


def _normalised(
    distances: npt.NDArray[Any], greatest: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    near: npt.NDArray[np.float32] = np.square(distances).astype(np.float32, copy=False)
    near /= greatest
    return near


def _nearest(source: Source, count: int, height: int) -> tuple[Ints, npt.NDArray[np.float32]]:
    """Find each entry's nearest entries, (N, count), and its greatest squared distance, (N,)."""
    entries = source.shape[0]
    neighbours = np.empty((entries, min(count, entries)), np.int64)
    greatest = np.empty(entries, np.float32)
    for part in parts(entries, height):
        squared = source.rows(part).square_().float()
        most = squared.amax(dim=1)
        most[most == 0] = 1
        # Divided by the greatest, as in use: a quotient can round two distances to one.
        nearest = _least(squared.div_(most[:, None]), neighbours.shape[1])
        neighbours[part] = nearest.cpu().numpy()
        greatest[part] = most.cpu().numpy()
    return neighbours, greatest


def _least(block: Tensor, count: int) -> Tensor:
    """Return the columns of each row's smallest numbers, in stable order, (b, count)."""
    least = block.topk(min(count + 1, block.shape[1]), largest=False)
    places, _ = least.indices.sort(dim=1)
    order = block.gather(1, places).argsort(dim=1, stable=True)
    places = places.gather(1, order)[:, :count]
    if least.values.shape[1] > count:
        # Among equal numbers, topk chooses arbitrarily.
        tied = least.values[:, count - 1] == least.values[:, count]
        if tied.any():
            places[tied] = block[tied].argsort(dim=1, stable=True)[:, :count]
    return places


def _reciprocal(neighbours: Ints, k1: int) -> sparse.csr_matrix:
    """Find each entry's widened set of k-reciprocal neighbours, as the pattern of a (N, N) matrix.

    All counts are products of sparse 0-1 matrices.
    """
    own = _mutual(neighbours[:, : k1 + 1])
    half = _mutual(neighbours[:, : int(np.around(k1 / 2)) + 1])
    sizes = np.diff(half.indptr)
    common = (own @ half.T).multiply(own).tocsr()  # |H(j) ∩ R(i)| for j in R(i)
    common.data = (common.data > 2 / 3 * sizes[common.indices]).astype(np.float32)
    common.eliminate_zeros()
    return own + common @ half


def _mutual(neighbours: Ints) -> sparse.csr_matrix:
    """Keep those neighbours of each entry that have it among theirs."""
    mutual = np.empty(neighbours.shape, np.bool_)
    for part in parts(len(neighbours), max(1, _WORK // (8 * neighbours.shape[1] ** 2))):
        entries = np.arange(part.start, part.stop)[:, None, None]
        mutual[part] = (neighbours[neighbours[part]] == entries).any(axis=2)
    return _members(neighbours, mutual)


def _members(neighbours: Ints, which: npt.NDArray[np.bool_]) -> sparse.csr_matrix:
    """Make the (N, N) 0-1 matrix of some of each entry's neighbours."""
    offsets = np.concatenate([[0], np.cumsum(which.sum(axis=1))])
    columns = neighbours[which]
    ones = np.ones(len(columns), np.float32)
    return sparse.csr_matrix((ones, columns, offsets), shape=(len(which), len(which)))


def _shared(
    encodings: sparse.csr_matrix, by_neighbour: sparse.csc_matrix, row: int
) -> npt.NDArray[np.float64]:
    """Sum min(w_il, w_jl) over l, for one query i and every gallery entry j, (G,).

    Only the entries that share a neighbour with the query are touched.
    """
    own = slice(encodings.indptr[row], encodings.indptr[row + 1])
    neighbours = encodings.indices[own]
    start, end = by_neighbour.indptr[neighbours], by_neighbour.indptr[neighbours + 1]
    count = end - start
    before = np.cumsum(count) - count
    places = np.arange(count.sum()) + np.repeat(start - before, count)
    least = np.minimum(by_neighbour.data[places], np.repeat(encodings.data[own], count))
    shared = np.bincount(
        by_neighbour.indices[places], weights=least, minlength=by_neighbour.shape[0]
    )
    return shared.astype(np.float64, copy=False)  # unchanged; for NumPy's annotation
