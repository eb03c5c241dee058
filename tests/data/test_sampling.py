"""Which frames make a clip."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from nr3d.data import dense_clips, evenly, random_frames, restricted_random


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 7, 8, 13, 100])
@pytest.mark.parametrize("seq_len", [1, 2, 4, 6])
def test_restricted_random_draws_one_frame_from_each_chunk(frames: int, seq_len: int) -> None:
    seen = [set() for _ in range(seq_len)]
    for seed in range(200):
        clip = restricted_random(frames, seq_len, np.random.default_rng(seed))
        assert len(clip) == seq_len
        assert clip == sorted(clip)
        for chunk, index in enumerate(clip):
            seen[chunk].add(index)
    for chunk, indices in enumerate(seen):
        low, high = chunk * frames / seq_len, (chunk + 1) * frames / seq_len
        assert all(low - 1 < index < max(high, low + 1) for index in indices)
    if frames >= seq_len and frames <= 13:
        assert set().union(*seen) == set(range(frames)), "some frame is never drawn"
        assert sum(len(indices) for indices in seen) == frames, "chunks overlap"


def test_restricted_random_by_hand() -> None:
    # 6 frames in 4 chunks: [0], [1, 2], [3], [4, 5]
    clips = {tuple(restricted_random(6, 4, np.random.default_rng(seed))) for seed in range(100)}
    assert clips == {(0, a, 3, b) for a in (1, 2) for b in (4, 5)}


@pytest.mark.parametrize("frames", range(1, 14))
@pytest.mark.parametrize("seq_len", [1, 3, 4])
def test_dense_clips_use_every_frame_once_and_fill_the_last(frames: int, seq_len: int) -> None:
    clips = dense_clips(frames, seq_len)
    assert len(clips) == -(-frames // seq_len)
    assert all(len(clip) == seq_len for clip in clips)
    flat = [index for clip in clips for index in clip]
    assert flat[:frames] == list(range(frames))
    own = clips[-1][: frames - seq_len * (len(clips) - 1)]
    assert clips[-1] == [own[i % len(own)] for i in range(seq_len)]


def test_dense_clips_by_hand() -> None:
    assert dense_clips(5, 4) == [[0, 1, 2, 3], [4, 4, 4, 4]]
    assert dense_clips(7, 4) == [[0, 1, 2, 3], [4, 5, 6, 4]]
    assert dense_clips(2, 4) == [[0, 1, 0, 1]]


@pytest.mark.parametrize("frames", [1, 3, 4, 9, 17])
def test_evenly_and_random_are_torchreids(frames: int) -> None:
    from nr3d.host import torchreid

    class Numbers(torchreid.data.VideoDataset):  # type: ignore[misc]
        """Dataset whose frames show their own index."""

        def __init__(self, method: str) -> None:
            tracklet = (tuple(str(i) for i in range(frames)), 0, 0)
            super().__init__(
                [tracklet],
                [tracklet],
                [tracklet],
                seq_len=4,
                sample_method=method,
                transform=lambda image: image,
                mode="train",
                verbose=False,
            )

    import torch

    def indices(method: str) -> list[int]:
        module = sys.modules[torchreid.data.VideoDataset.__module__]
        original = module.read_image
        module.read_image = lambda path: torch.tensor(int(path))
        try:
            return [int(i) for i in Numbers(method)[0]["img"]]
        finally:
            module.read_image = original

    assert evenly(frames, 4) == indices("evenly")
    drawn = random_frames(frames, 4, np.random.default_rng(0))
    theirs = indices("random")
    for clip in (drawn, theirs):
        assert clip == sorted(clip)
        assert len(clip) == 4
        assert len(set(clip)) == (4 if frames >= 4 else len(set(clip)))
