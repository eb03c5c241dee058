"""The search of a test: its queries and gallery, and their distances block by block."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from nr3d.metrics.distances import Distances, parts
from nr3d.metrics.evaluation import block_height
from nr3d.metrics.labels import Labels
from nr3d.metrics.matches import View
from nr3d.metrics.places import Block
from nr3d.metrics.reranking import SCRATCH, reranked_features


@dataclass(frozen=True)
class Search:
    """The queries, the gallery that they are searched in, and the distance.

    Attributes:
        query, gallery: persons and cameras of the two sets.
        query_features: features of the queries, (Q, D).
        gallery_features: features of the gallery, (G, D), on the same device.
        metric: ``'euclidean'`` or ``'cosine'``.
        rerank: whether the distances are re-ranked.
        memory: memory for the distances being processed, in bytes.
    """

    query: Labels
    gallery: Labels
    query_features: Tensor
    gallery_features: Tensor
    metric: str
    rerank: bool
    memory: int

    def blocks(self, views: Collection[View]) -> Iterator[Block]:
        """Yield the distances a block of query rows at a time.

        The columns are the gallery and, if a view reaches further, the queries after it.
        """
        columns = self.gallery_features
        if any(len(view.gallery) > len(self.gallery) for view in views):
            columns = torch.cat([columns, self.query_features])
        width = len(columns)
        on_cpu = self.query_features.device.type == "cpu"
        if self.rerank:
            height = block_height(self.memory, SCRATCH * width, views)
            yield from reranked_features(self.query_features, columns, self.metric, height=height)
        else:
            height = block_height(self.memory, width, views, on_cpu=on_cpu)
            distances = Distances(self.query_features, columns, self.metric)
            for part in parts(len(self.query), height):
                yield distances.rows(part)


def watched(
    blocks: Iterable[Block],
    queries: int,
    store: npt.NDArray[np.float32] | None,
    left: slice | npt.NDArray[np.int64],
    gallery: int,
) -> Iterator[Block]:
    """Yield blocks with a progress bar, and keep a copy of their columns.

    Args:
        blocks: blocks of distances, (b, columns) each.
        queries: number of rows of all blocks, Q.
        store: array that receives the copy, (Q, G), or (Q, G + Q) if the queries' columns are kept
            too; None for no copy.
        left: columns of the store that the blocks begin with.
        gallery: number of gallery entries, G.
    """
    start = 0
    with tqdm(total=queries, desc="Ranking", leave=False, disable=None) as bar:
        for block in blocks:
            rows = slice(start, start + len(block))
            if store is not None:
                width = store[:0, left].shape[1]
                further = store.shape[1] - gallery
                part = block[:, : width + further]
                kept = part.cpu().numpy() if isinstance(part, Tensor) else part
                store[rows, left] = kept[:, :width]
                store[rows, gallery:] = kept[:, width:]
            yield block
            bar.update(len(block))
            start = rows.stop
