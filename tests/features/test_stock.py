"""torchreid's own test loaders are read as nr3d's are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nr3d.data import FrameLoader
from nr3d.features import Inference, InferenceOptions, extract
from nr3d.features.stock import StockFrames
from nr3d.models import VideoReID
from tests.engine.test_engine import stock_data_of


@pytest.fixture(scope="module")
def query(mars_root: Path) -> Any:
    """torchreid's loader of the query tracklets, two frames of each."""
    data = stock_data_of(mars_root, batch_size_test=3, sample_method="evenly", use_gpu=False)
    return data.test_loader["mars"]["query"]


def images_of(query: Any) -> Tensor:
    return torch.cat([batch["img"] for batch in query])  # (N, 2, 3, 32, 16)


def test_its_batches_hold_the_frames_of_whole_tracklets_in_order(query: Any) -> None:
    frames = StockFrames(query)
    batches = list(frames)
    assert [batch["complete"] for batch in batches] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert batches[1]["tracklet"].tolist() == [3, 3, 4, 4, 5, 5]
    assert torch.equal(torch.cat([b["img"] for b in batches]), images_of(query).flatten(0, 1))
    assert frames.tracklets.tracklets == list(query.dataset.data)
    assert (list(frames.order), frames.clips_at_once(2)) == (list(range(8)), 3)


def test_a_tracklet_is_one_clip_that_is_settled_by_its_last_frame(query: Any) -> None:
    tracklets = StockFrames(query).tracklets
    assert tracklets.clips(2) == [[0, 1]]
    assert tracklets.settled(2) == 0
    assert "tracklet 3 without frames" in str(tracklets.no_frame_left(3))


def test_features_are_those_of_its_clips_normalised_once(query: Any) -> None:
    model = VideoReID(depth=18, num_classes=4).eval()
    inference = Inference(model, torch.device("cpu"), InferenceOptions("float32"))
    found = extract(query, inference)
    with torch.no_grad():
        expected = model(images_of(query))
    assert torch.allclose(found.features, expected, rtol=1e-4, atol=1e-4)
    assert (found.clips.tolist(), found.frames.tolist()) == ([1] * 8, [2] * 8)
    assert found.labels.pids.tolist() == [tracklet[1] for tracklet in query.dataset.data]
    assert not isinstance(query, FrameLoader)
