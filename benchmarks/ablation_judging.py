"""What the ablation asks of a trained network: accuracy, erased queries, an oracle, attention."""

from __future__ import annotations

import statistics
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nr3d.data import ClipTransform, FrameLoader, TestTracklets, Tracklet, dense_clips
from nr3d.features import Inference, InferenceOptions, extract_each
from nr3d.features.attention import weights_in_clips
from nr3d.metrics import Labels, rank
from nr3d.models import VideoReID
from nr3d.models.aggregations.attention_health import are_flat

HIDDEN = 0.3
CLEAN = 0.02
"""Hidden fractions of the person: a frame is occluded from HIDDEN on, and clean below CLEAN."""

Marks = Mapping[str, float]
"""How much of the person is hidden, 0 to 1, by the path of the frame."""


class ErasedTracklets(TestTracklets):
    """Test tracklets of which half of the frames are erased, as in training.

    The draw of a frame depends on its file name alone, so that all networks see the same pixels.

    Args:
        tracklets, seq_len: as for ``TestTracklets``.
        transform: test transform; its probability, areas and aspect ratios of erasing are used.
    """

    def pixels(self, index: int, position: int, bad: list[str]) -> npt.NDArray[np.uint8] | None:
        """Return the pixels of a resized frame, (H, W, 3), with the mean colour where erased."""
        pixels = super().pixels(index, position, bad)
        path = self.tracklets[index][0][position]
        rectangle = erased_part(path, self.transform)
        if pixels is None or rectangle is None:
            return pixels
        mean = np.round(self.transform.mean.numpy().reshape(3) * 255).astype(np.uint8)
        return np.where(rectangle[..., None], mean, pixels)


def erased_part(path: str, transform: ClipTransform) -> npt.NDArray[np.bool_] | None:
    """Return which pixels (H, W) of a frame are erased; None if none are."""
    rng = np.random.default_rng(zlib.crc32(Path(path).name.encode()))
    left = torch.ones(3, transform.height, transform.width)
    if rng.random() >= transform.erase_probability or not transform.erase(left, rng):
        return None
    return left[0].numpy() == 0


def judge(
    model: VideoReID,
    query: Sequence[Tracklet],
    gallery: Sequence[Tracklet],
    transform: ClipTransform,
    seq_len: int,
    hidden: Marks | None = None,
) -> dict[str, Any]:
    """Measure a trained network on its test set.

    Args:
        model: trained network.
        query, gallery: torchreid's tuples of the test set.
        transform: test transform.
        seq_len: number of frames in a clip, T.
        hidden: hidden fraction of the person in each frame; None if unknown.

    Returns:
        dict: ``rank-1`` and ``mAP``; the same with ``erased`` queries; ``attention_erased``, the
        attention of the erased queries; and where the hidden fractions are known, ``attention`` and
        ``oracle``, the figures once the occluded frames are left out.
    """
    inference = Inference(model, torch.device("cpu"), InferenceOptions("float32"))

    def rows(tracklets: Sequence[Tracklet], kind: type[TestTracklets] = TestTracklets) -> list[Any]:
        loader = FrameLoader(kind(tracklets, transform, seq_len))
        return sorted(extract_each(loader, inference), key=lambda row: row.index)

    asked, held, erased = rows(query), rows(gallery), rows(query, ErasedTracklets)
    labels = [
        Labels.of([pid for _, pid, *_ in side], [camid for _, _, camid, *_ in side])
        for side in (query, gallery)
    ]

    def figures(queries: Sequence[Any], others: Sequence[Any]) -> dict[str, float]:
        ranking = rank(features_of(queries), features_of(others), *labels)["torchreid"]
        return {"rank-1": float(ranking.cmc[0]), "mAP": float(ranking.mAP)}

    marks = {
        path: float(erased_part(path, transform) is not None)
        for paths, *_ in query
        for path in paths
    }
    found: dict[str, Any] = {
        **figures(asked, held),
        "erased": figures(erased, held),
        "attention_erased": attention(erased, query, marks, seq_len),
    }
    if hidden is not None:
        kept = [without_occluded(side, hidden) for side in (query, gallery)]
        found["oracle"] = figures(*map(rows, kept))
        found["attention"] = attention([*asked, *held], [*query, *gallery], hidden, seq_len)
    return found


def features_of(rows: Sequence[Any]) -> torch.Tensor:
    """Return the features of tracklets, (N, D)."""
    return torch.stack([torch.as_tensor(row.feature) for row in rows])


def without_occluded(tracklets: Sequence[Tracklet], hidden: Marks) -> list[Tracklet]:
    """Return tracklets without their occluded frames; one with no other frame keeps them all."""
    return [
        (tuple(path for path in paths if hidden[path] < HIDDEN) or paths, *rest)
        for paths, *rest in tracklets
    ]


def attention(
    rows: Sequence[Any], tracklets: Sequence[Tracklet], hidden: Marks, seq_len: int
) -> dict[str, float]:
    """Compare the weights of occluded and clean frames within the clips that contain both.

    Args:
        rows: features of the tracklets, with the weights of their frames.
        tracklets: torchreid's tuples.
        hidden: hidden fraction of the person in each frame.
        seq_len: number of frames in a clip, T.

    Returns:
        dict: averages over the clips: the mean weight of an ``occluded`` and of a ``clean`` frame,
        and their ``ratio``; ``auc``, how often a clean frame has the larger weight (a tie counts
        one half); the ``largest`` weight in a clip; ``flat``, the share of clips whose frames all
        have the same weight; and ``clips``, the number of clips.
    """
    found: list[dict[str, float]] = []
    for row, (paths, *_) in zip(rows, tracklets, strict=True):
        places = dense_clips(len(paths), seq_len)
        clips = torch.tensor(places)  # (n, T)
        shares = torch.tensor([hidden[path] for path in paths])[clips]
        occluded, clean = shares >= HIDDEN, shares < CLEAN
        both = occluded.any(dim=1) & clean.any(dim=1)
        weights = torch.from_numpy(weights_in_clips(row.frame_weights, places))[both]  # (n, T)
        for weight, dark, light in zip(weights, occluded[both], clean[both], strict=True):
            above = weight[light][:, None] - weight[dark][None]
            found.append(
                {
                    "occluded": float(weight[dark].mean()),
                    "clean": float(weight[light].mean()),
                    "auc": float((above > 0).float().mean() + 0.5 * (above == 0).float().mean()),
                    "largest": float(weight.max()),
                    "flat": float(are_flat(weight[None])),
                }
            )
    if not found:
        raise SystemExit("No test clip has both occluded and clean frames: use more people.")
    means = {key: statistics.fmean(clip[key] for clip in found) for key in found[0]}
    # the ratio of the means, because the clean frames of a single clip may have no weight
    return {"ratio": means["occluded"] / means["clean"], **means, "clips": len(found)}
