"""Clip transforms: the same over a clip where they should be, and told where they are not."""

from __future__ import annotations

from typing import Any

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


def test_flip_and_crop_can_be_drawn_for_each_frame() -> None:
    transform = ClipTransform(80, 40, ["random_flip", "random_crop"], augment_per="frame")
    frame = noise_frame(0)
    plain = ClipTransform(80, 40, ["random_flip", "random_crop"])
    draws = rng(3)
    clip, _ = transform([frame] * 4, rng(3))
    # Each frame is augmented as a clip of its own would be, one after the other.
    for each in clip:
        assert torch.equal(each, plain([frame], draws)[0][0])
    assert len({each.numpy().tobytes() for each in clip}) > 1


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


@pytest.mark.parametrize(
    ("value", "colour"), [("zero", (0, 0, 0)), ("imagenet_mean", (0.485, 0.456, 0.406))]
)
@pytest.mark.parametrize("norm", [None, [0.5, 0.5, 0.5]])
def test_erased_pixels_have_the_chosen_value(
    value: str, colour: tuple[float, ...], norm: list[float] | None
) -> None:
    """The value is the same whatever the normalisation is."""
    transform = ClipTransform(64, 32, ["random_erase"], norm, norm, erase_value=value)
    frame = Image.new("RGB", (32, 64), (255, 0, 255))
    untouched = ClipTransform(64, 32, (), norm, norm)([frame], rng(0))[0][0]
    for seed in range(20):
        clip, erased = transform([frame] * 4, rng(seed))
        for image, hit in zip(clip, erased, strict=True):
            changed = (image != untouched).any(dim=0)  # (H, W)
            assert bool(changed.any()) == bool(hit)
            torch.testing.assert_close(
                image[:, changed],
                torch.tensor(colour, dtype=torch.float32)[:, None].expand(3, int(changed.sum())),
            )


def aspects_of(draw: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return 3,000 erased rectangles' ratios of height to width, of frames that fit them all."""
    transform = ClipTransform(900, 900, erase_area=(0.05, 0.1), erase_aspect_draw=draw)
    draws, found = rng(0), []
    for _ in range(3000):
        erased = _Recorded((3, 900, 900))
        assert transform.erase(erased, draws)  # type: ignore[arg-type]
        found.append(erased.rows / erased.columns)
    return np.array(found)


class _Recorded:
    """A frame that only remembers which rows and columns were written."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def __setitem__(self, where: tuple[slice, slice, slice], value: torch.Tensor) -> None:
        _, rows, columns = where
        self.rows, self.columns = rows.stop - rows.start, columns.stop - columns.start


@pytest.mark.parametrize(
    ("draw", "below_one", "middle"),
    [
        # Uniform over 0.3..3.333: (1 - 0.3) / 3.033 lie below 1, and half below 1.8167.
        ("uniform", 0.2308, 1.8167),
        # Uniform in the logarithm over 0.3..3.33: half lie below sqrt(0.3 · 3.33).
        ("log_uniform", 0.5002, 0.9995),
    ],
)
def test_the_aspect_of_erased_rectangles(draw: str, below_one: float, middle: float) -> None:
    found = aspects_of(draw)
    assert 0.29 < found.min() < 0.32
    assert 3.2 < found.max() < 3.4
    assert np.mean(found < 1) == pytest.approx(below_one, abs=0.03)  # three standard deviations
    assert np.median(found) == pytest.approx(middle, abs=0.1)
    if draw == "uniform":
        counts, _ = np.histogram(found, bins=6, range=(0.3, 1 / 0.3))
        assert counts.min() > 430  # of 500 expected
        assert counts.max() < 570


def test_one_attempt_leaves_out_the_rectangles_that_do_not_fit() -> None:
    """At 224×112, some 5.5 % of the uniform draws are wider than the frame."""
    frame = torch.zeros(3, 224, 112)
    shares = []
    for attempts in (1, 100):
        transform = ClipTransform(224, 112, erase_aspect_draw="uniform", erase_attempts=attempts)
        draws = rng(0)
        shares.append(np.mean([transform.erase(frame, draws) for _ in range(4000)]))
    assert shares[0] == pytest.approx(0.943, abs=0.012)
    assert shares[1] == 1


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


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"erase_value": "black"}, "erase_value is 'black', expected one of .'zero', 'imagenet_"),
        ({"erase_aspect_draw": "log"}, "erase_aspect_draw is 'log', expected one of .'log_uni"),
        ({"augment_per": "batch"}, "augment_per is 'batch', expected one of .'clip', 'frame'"),
        ({"erase_attempts": 0}, "erase_attempts is 0, expected at least 1"),
    ],
)
def test_unknown_options_name_the_choices(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ClipTransform(64, 32, **options)


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
