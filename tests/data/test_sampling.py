"""Which frames make a clip."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from nr3d.data import (
    ClipTransform,
    IdentityPassSampler,
    SeededSampler,
    TestTracklets,
    consecutive_frames,
    dense_clips,
    evenly,
    random_frames,
    restricted_random,
    restricted_with_rest,
)
from nr3d.data.sampling import clips_of_test


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


@pytest.mark.parametrize(
    ("frames", "chunks"),
    [
        (8, [(0, 1), (2, 3), (4, 5), (6, 7)]),
        # Chunks of 7 // 4 = 1 and 11 // 4 = 2 frames, of which the last takes the rest.
        (7, [(0,), (1,), (2,), (3, 4, 5, 6)]),
        (11, [(0, 1), (2, 3), (4, 5), (6, 7, 8, 9, 10)]),
        # Fewer frames than the clip: the last one is repeated.
        (2, [(0,), (1,), (1,), (1,)]),
        (1, [(0,)] * 4),
    ],
)
def test_restricted_with_rest_by_hand(frames: int, chunks: list[tuple[int, ...]]) -> None:
    drawn = [restricted_with_rest(frames, 4, np.random.default_rng(seed)) for seed in range(200)]
    assert [tuple(sorted(set(seen))) for seen in zip(*drawn, strict=True)] == chunks
    if frames == 8:
        assert drawn == [
            restricted_random(frames, 4, np.random.default_rng(seed)) for seed in range(200)
        ]


PIDS = [0, 1, 2, 0, 1, 0, 0, 0, 1, 1, 3, 2]
"""Person 0 has five tracklets, 1 has four, 2 has two and 3 has one."""


def test_a_pass_over_identities_has_each_once_with_its_tracklets() -> None:
    sampler = SeededSampler(IdentityPassSampler(PIDS, num_instances=4), seed=3)
    first, drawn = set(), set()
    for epoch in range(40):
        sampler.set_epoch(epoch)
        order = sampler.order()
        groups = [order[start : start + 4] for start in range(0, len(order), 4)]
        people = [{PIDS[index] for index in group} for group in groups]
        assert sorted(pid for (pid,) in people) == [0, 1, 2, 3]
        for (pid,), group in zip(people, groups, strict=True):
            assert len(set(group)) == 4 if pid < 2 else len(set(group)) <= 2
        first.add(PIDS[order[0]])
        drawn.update(order)
    assert first == {0, 1, 2, 3}, "identities come in one order"
    assert drawn == set(range(len(PIDS))), "some tracklet is never drawn"
    sampler.set_epoch(0)
    again = sampler.order()
    sampler.set_epoch(0)
    assert sampler.order() == again


def test_a_pass_over_identities_takes_a_tracklet_or_more_of_each() -> None:
    with pytest.raises(ValueError, match="num_instances is 0, expected at least 1"):
        IdentityPassSampler(PIDS, num_instances=0)


def test_a_pass_over_identities_drops_what_fills_no_batch() -> None:
    sampler = SeededSampler(IdentityPassSampler(PIDS, num_instances=2), 0, batch_size=6)
    assert len(list(sampler)) == len(sampler) == 6  # of 4 identities with 2 tracklets each


@pytest.mark.parametrize(("frames", "clips"), [(1, 1), (163, 41), (164, 41), (165, 41), (920, 41)])
def test_a_tracklet_is_tested_by_its_first_clips(frames: int, clips: int) -> None:
    paths = tuple(f"{frame:04d}.jpg" for frame in range(frames))
    tracklets = TestTracklets([(paths, 0, 0, 0)], ClipTransform(32, 16), 4, max_clips=41)
    read = list(tracklets.positions(0))
    assert read == list(range(min(frames, 164)))
    assert tracklets.clips(len(read)) == dense_clips(frames, 4)[:41]
    assert len(tracklets.clips(len(read))) == clips
    whole = TestTracklets([(paths, 0, 0, 0)], ClipTransform(32, 16), 4)
    assert list(whole.positions(0)) == list(range(frames))
    assert len(whole.clips(frames)) == -(-frames // 4)


def test_a_negative_number_of_test_clips_is_refused() -> None:
    with pytest.raises(ValueError, match="max_clips is -1, expected 0 or more"):
        TestTracklets([], ClipTransform(32, 16), 4, max_clips=-1)


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


@pytest.mark.parametrize("frames", [1, 3, 4, 5, 20])
def test_consecutive_frames_follow_each_other_from_anywhere(frames: int) -> None:
    rng = np.random.default_rng(0)
    starts = set()
    for _ in range(200):
        clip = consecutive_frames(frames, 4, rng)
        starts.add(clip[0])
        assert clip == [(clip[0] + step) % frames for step in range(4)]
    assert starts == set(range(max(1, frames - 3)))


def test_a_whole_tracklet_is_one_clip() -> None:
    assert clips_of_test(5, 4, "whole") == [[0, 1, 2, 3, 4]]
    assert clips_of_test(2, 4, "whole") == [[0, 1]]
