"""Features of tracklets: from frames and from whole clips, in full batches, bounded in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import nr3d
from nr3d.data import FrameLoader, TestTracklets
from nr3d.data.transforms import ClipTransform
from nr3d.errors import DataError
from nr3d.features import Inference, InferenceOptions, TrackletFeatures, extract, extract_each
from nr3d.features.collecting import ClipCollector
from nr3d.models import VideoReID
from tests.conftest import draw_frame
from tests.engine.test_engine import stock_data_of

pytestmark = pytest.mark.usefixtures("outside")

T = 3
LENGTHS = (7, 1, 3, 20, 2, 6)
"""Frames of the tracklets, of which some fill their clips and some do not."""


@pytest.fixture(scope="module")
def tracklets(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Tracklets whose every frame has another colour."""
    folder = tmp_path_factory.mktemp("frames")
    found = []
    for pid, length in enumerate(LENGTHS):
        paths = []
        for frame in range(length):
            path = folder / f"p{pid}" / f"{frame:04d}.png"
            draw_frame(path, (40 * pid, 10 * frame, 200 - 7 * frame), (16, 32))
            paths.append(str(path))
        found.append((tuple(paths), pid, 0, 0))
    return found


def of_test(tracklets: list[Any], **options: Any) -> TestTracklets:
    return TestTracklets(tracklets, ClipTransform(32, 16, ()), seq_len=T, **options)


def network(name: str, aggregation: str = "attention") -> VideoReID:
    torch.manual_seed(0)
    model = nr3d.models.ARCHITECTURES[name](5, pretrained=False, aggregation=aggregation)
    with torch.no_grad():
        for parameter in model.aggregation.parameters():
            parameter.abs_()  # scores above 0, so that frames weigh differently
    return model.eval()


def inference_of(model: VideoReID) -> Inference:
    return Inference(model, torch.device("cpu"), InferenceOptions("float32"))


def one_by_one(
    model: VideoReID, tracklets: TestTracklets, index: int, pooling: str
) -> tuple[Tensor, Tensor]:
    """Compute a tracklet's feature and its frames' shares from each clip alone."""
    read = [tracklets.pixels(index, place, []) for place in tracklets.positions(index)]
    pixels = torch.stack([torch.tensor(each) for each in read if each is not None])
    features, shares = [], torch.zeros(len(pixels))
    for clip in tracklets.clips(len(pixels)):
        with torch.no_grad():
            found = model.embed(tracklets.transform.normalise(pixels[clip])[None])
        features.append(found.features[0])
        for place, share in zip(clip, found.weights[0], strict=True):
            shares[place] += share
    clips = torch.stack(features)
    return (clips.mean(0) if pooling == "avg" else clips.amax(0)), shares


@pytest.mark.parametrize("name", ["small_frames", "small_clips", "small_halves"])
@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize("sample_method", ["dense", "evenly", "whole"])
@pytest.mark.parametrize("frames", [1, 7, 64])
def test_each_tracklets_feature_is_that_of_its_clips_alone(
    tracklets: list[Any], name: str, pooling: str, sample_method: str, frames: int
) -> None:
    model = network(name)
    read = of_test(tracklets, sample_method=sample_method)
    rows = list(
        extract_each(FrameLoader(read, frames=frames), inference_of(model), pooling=pooling)
    )
    assert [row.index for row in rows] == list(range(len(LENGTHS)))
    for row in rows:
        feature, shares = one_by_one(model, read, row.index, pooling)
        torch.testing.assert_close(torch.from_numpy(row.feature), feature, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(torch.from_numpy(row.frame_weights), shares)
        assert row.clips == len(read.clips(len(shares)))


@pytest.mark.parametrize("name", ["small_frames", "small_clips"])
@pytest.mark.parametrize("frames", [1, 7, 64])
def test_a_limit_of_clips_is_a_tracklet_without_its_later_frames(
    tracklets: list[Any], name: str, frames: int
) -> None:
    model = network(name)
    cut = [(paths[: 2 * T], *labels) for paths, *labels in tracklets]
    assert cut != tracklets
    limited, expected = (
        list(extract_each(FrameLoader(read, frames=frames), inference_of(model)))
        for read in (of_test(tracklets, max_clips=2), of_test(cut))
    )
    for row, other in zip(limited, expected, strict=True):
        assert (row.index, row.clips) == (other.index, other.clips)
        np.testing.assert_array_equal(row.feature, other.feature)
        np.testing.assert_array_equal(row.frame_weights, other.frame_weights)


def recorded(monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], list[int]]:
    """Record the clips of each pass, and the frames that were held after each batch."""
    passes: list[int] = []
    held: list[int] = []
    embed, take = Inference.embed, ClipCollector._take

    def embedding(self: Inference, clips: Tensor) -> Any:
        passes.append(len(clips))
        return embed(self, clips)

    def taking(self: ClipCollector, *args: Any) -> None:
        take(self, *args)
        held.append(0 if self.images is None else len(self.images))

    monkeypatch.setattr(Inference, "embed", embedding)
    monkeypatch.setattr(ClipCollector, "_take", taking)
    return passes, held


@pytest.mark.parametrize("frames", [1, 2, 7, 12])
def test_clips_of_several_tracklets_fill_every_batch_but_the_last(
    tracklets: list[Any], frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes, held = recorded(monkeypatch)
    read = of_test(tracklets)
    loader = FrameLoader(read, frames=frames)
    assert len(list(extract_each(loader, inference_of(network("small_clips"))))) == len(LENGTHS)
    at_once = max(1, frames // T)
    clips = sum(len(read.clips(length)) for length in LENGTHS)
    assert passes[:-1] == [at_once] * (len(passes) - 1)
    assert 0 < passes[-1] <= at_once
    assert sum(passes) == clips
    assert max(held) < (at_once + 1) * T + frames


def test_a_long_tracklet_is_never_held_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "0001.png"
    draw_frame(path, (1, 2, 3), (16, 32))
    for number in range(2, 1001):
        (tmp_path / f"{number:04d}.png").hardlink_to(path)
    paths = tuple(str(tmp_path / f"{number:04d}.png") for number in range(1, 1001))
    passes, held = recorded(monkeypatch)
    read = of_test([(paths, 0, 0, 0)])
    (row,) = extract_each(FrameLoader(read, frames=16), inference_of(network("small_clips")))
    assert (row.clips, len(row.frame_weights)) == (334, 1000)
    assert max(held) < 6 * T + 16
    assert passes == [5] * 66 + [4]


@pytest.mark.parametrize("name", ["small_frames", "small_clips"])
def test_bad_frames_are_left_out_of_their_clips(
    tracklets: list[Any], name: str, tmp_path: Path
) -> None:
    bad = tmp_path / "0000.png"
    bad.write_bytes(b"no image")
    first, *others = tracklets
    damaged = [((*first[0][:2], str(bad), *first[0][3:]), *first[1:]), *others]
    without = [((*first[0][:2], *first[0][3:]), *first[1:]), *others]
    # A tracklet's frames stand in the order of their names.
    found, expected = (
        extract(
            FrameLoader(of_test(each, bad_frames="skip"), frames=4), inference_of(network(name))
        )
        for each in (damaged, without)
    )
    assert found.frames.tolist() == expected.frames.tolist() == [6, *LENGTHS[1:]]
    torch.testing.assert_close(found.features, expected.features, rtol=1e-4, atol=1e-5)
    nothing = [*others, ((str(bad),), 9, 0, 0)]
    with pytest.raises(DataError, match="has no readable frame"):
        extract(FrameLoader(of_test(nothing, bad_frames="skip")), inference_of(network(name)))


@pytest.mark.parametrize("name", ["small_frames", "small_clips"])
def test_processes_share_the_tracklets_out(tracklets: list[Any], name: str) -> None:
    read, inference = of_test(tracklets), inference_of(network(name))
    whole = list(extract_each(FrameLoader(read, frames=5), inference))
    shares = [
        row
        for rank in (0, 1)
        for row in extract_each(FrameLoader(read, range(rank, 6, 2), frames=5), inference)
    ]
    shares.sort(key=lambda row: row.index)
    for one, other in zip(whole, shares, strict=True):
        assert (one.index, one.clips) == (other.index, other.clips)
        torch.testing.assert_close(
            *(torch.from_numpy(row.feature) for row in (one, other)), rtol=1e-4, atol=1e-5
        )


def test_torchreids_own_loaders_are_read_too(mars_root: Path) -> None:
    data = stock_data_of(mars_root)
    loader = data.test_loader["mars"]["query"]
    batches = [batch["img"] for batch in loader]
    for name in ("small_frames", "small_clips"):
        model = network(name)
        found: TrackletFeatures = extract(loader, inference_of(model))
        with torch.no_grad():
            expected = torch.cat([model(clips) for clips in batches])
        torch.testing.assert_close(found.features, expected, rtol=1e-4, atol=1e-5)
        assert set(found.clips.tolist()) == {1}


def test_another_pooling_is_refused(tracklets: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"pooling is 'sum', expected one of \['avg', 'max'\]"):
        extract(
            FrameLoader(of_test(tracklets)), inference_of(network("small_clips")), pooling="sum"
        )


def test_an_empty_set_has_no_features() -> None:
    for name in ("small_frames", "small_clips"):
        found = extract(FrameLoader(of_test([])), inference_of(network(name)))
        assert found.features.shape == (0, 0)
