"""Clip transforms: the same over a clip where they should be, and told where they are not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from nr3d.data import ClipTransform


def noise_frame(seed: int, size: tuple[int, int] = (40, 80)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_flip_and_crop_are_the_same_over_a_clip() -> None:
    transform = ClipTransform(64, 32, ["random_flip", "random_crop"])
    frame = noise_frame(0)
    seen = set()
    for seed in range(20):
        clip, erased = transform([frame] * 3, rng(seed))
        assert bool((clip == clip[0]).all()), "one frame was flipped or cropped otherwise"
        assert not bool(erased.any())
        seen.add(clip[0].numpy().tobytes())
    assert len(seen) > 10, "nothing is drawn"


def normalised(transform: ClipTransform, frame: Image.Image) -> torch.Tensor:
    return transform.normalise(torch.from_numpy(np.array(frame))[None])[0]


def test_flip_mirrors_half_of_the_clips() -> None:
    transform = ClipTransform(80, 40, ["random_flip"])
    frame = noise_frame(1)
    plain = normalised(transform, transform.resize(frame))
    kinds = []
    for seed in range(100):
        clip, _ = transform([frame], rng(seed))
        kinds.append(torch.equal(clip[0], plain.flip(-1)))
        assert kinds[-1] or torch.equal(clip[0], plain)
    assert 30 < sum(kinds) < 70


def test_crop_is_a_window_of_the_padded_frame() -> None:
    transform = ClipTransform(80, 40, ["random_crop"], padding=10)
    frame = noise_frame(2)
    black = normalised(transform, Image.new("RGB", (60, 100)))
    black[:, 10:90, 10:50] = normalised(transform, frame)
    windows = {
        black[:, top : top + 80, left : left + 40].numpy().tobytes()
        for top in range(21)
        for left in range(21)
    }
    for seed in range(20):
        assert transform([frame], rng(seed))[0][0].numpy().tobytes() in windows


def test_resize_is_bicubic() -> None:
    frame = noise_frame(3)
    expected = frame.resize((16, 32), Image.Resampling.BICUBIC)
    assert ClipTransform(32, 16).resize(frame).tobytes() == expected.tobytes()
    assert expected.tobytes() != frame.resize((16, 32), Image.Resampling.BILINEAR).tobytes()


def test_normalisation_is_torchvisions() -> None:
    from torchvision.transforms import Compose, Normalize, ToTensor

    frame = noise_frame(4, (16, 32))
    reference = Compose([ToTensor(), Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
    clip, _ = ClipTransform(32, 16)([frame], rng(0))
    torch.testing.assert_close(clip[0], reference(frame))
    own, _ = ClipTransform(32, 16, (), [0.5, 0.5, 0.5], [0.5, 0.5, 0.5])([frame], rng(0))
    torch.testing.assert_close(own[0], ToTensor()(frame) * 2 - 1)


def test_erasing_is_drawn_per_frame_and_told() -> None:
    transform = ClipTransform(64, 32, ["random_erase"])
    frame = Image.new("RGB", (32, 64), (255, 255, 255))
    told, areas = [], []
    for seed in range(500):
        clip, erased = transform([frame] * 4, rng(seed))
        holes = (clip == 0).all(dim=1)  # white is never 0 after normalisation
        assert (holes.flatten(1).any(1).float() == erased).all()
        told += erased.tolist()
        for hole in holes[erased.bool()]:
            rows, columns = hole.any(1).sum().item(), hole.any(0).sum().item()
            assert hole.sum().item() == rows * columns, "not one rectangle"
            areas.append(rows * columns / (64 * 32))
            assert 0.2 < rows / columns < 5  # 0.3..3.33, within rounding to pixels
    assert 0.45 < np.mean(told) < 0.55
    assert 0.015 < min(areas) < 0.05
    assert 0.35 < max(areas) < 0.41


def test_testing_draws_nothing() -> None:
    transform = ClipTransform(64, 32)
    frames = [noise_frame(5), noise_frame(6)]
    one, erased = transform(frames, rng(0))
    other, _ = transform(frames, rng(1))
    assert torch.equal(one, other)
    assert erased.tolist() == [0, 0]


def test_unknown_transform_names_the_choices() -> None:
    with pytest.raises(ValueError, match=r"\['random_patch'\].*random_flip.*random_erase"):
        ClipTransform(64, 32, ["random_flip", "random_patch"])


@pytest.mark.parametrize("size", [(1, 1), (65_000, 1), (1, 65_000), (3, 2)])
def test_frames_of_any_shape(size: tuple[int, int]) -> None:
    transform = ClipTransform(64, 32, ["random_flip", "random_crop", "random_erase"])
    clip, _ = transform([Image.new("RGB", size, (124, 116, 104))] * 2, rng(0))
    assert clip.shape == (2, 3, 64, 32)
    assert (
        float(
            ClipTransform(64, 32)([Image.new("RGB", size, (124, 116, 104))], rng(0))[0].abs().max()
        )
        < 0.01
    )
