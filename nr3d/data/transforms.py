"""Transforms of clips, with draws for a whole clip and draws for each of its frames."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

TRANSFORMS = ("random_flip", "random_crop", "random_erase")
"""Names of the augmentations in ``data.transforms``; resize and normalisation always happen."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

AUGMENT_PER = ("clip", "frame")
"""What a flip and a crop are drawn for."""

ERASE_VALUES = {"zero": (0.0, 0.0, 0.0), "imagenet_mean": IMAGENET_MEAN}
"""Red, green and blue of erased pixels, in normalised values. ``zero`` is the mean colour;
``imagenet_mean`` is what public code of the method writes, a somewhat lighter one."""

ERASE_ASPECTS = {"log_uniform": (0.3, 3.33), "uniform": (0.3, 1 / 0.3)}
"""Distributions of an erased rectangle's ratio of height to width, and their default ranges: as the
paper prints it, and as public code computes it."""


class ClipTransform:
    """Transform of frames to a normalised clip, with the method's augmentation.

    Frames are resized, flipped, padded and cropped, normalised and erased, in this order. Flip and
    crop are the same for all frames of a clip, unless ``augment_per`` says otherwise. Erasing is
    drawn for each frame, and the result says which frames were erased.

    Reference:
        Zhong et al. Random Erasing Data Augmentation. AAAI 2020. arXiv:1708.04896. The erased
        rectangle gets the mean colour, which is 0 after normalisation. The method's public code
        (Re-ID-AR) draws flip and crop for each frame, fills with ``'imagenet_mean'``, draws the
        ratio ``'uniform'`` and makes one attempt.

    Args:
        height: H, in pixels. Paper: 224.
        width: W, in pixels. Paper: 112.
        transforms: names of :data:`TRANSFORMS`; empty for testing.
        norm_mean: means of red, green and blue, from 0 to 1. Default is ImageNet's.
        norm_std: standard deviations of red, green and blue. Default is ImageNet's.
        padding: number of zero pixels added at each side before the random crop. Paper: 10.
        erase_probability: probability that a frame is erased, from 0 to 1. Paper: 0.5.
        erase_area: smallest and largest erased share of a frame, from 0 to 1. Paper: 0.02, 0.4.
        erase_aspect: smallest and largest ratio of height to width. Default is that of
            ``erase_aspect_draw`` in :data:`ERASE_ASPECTS`. Paper: 0.3, 3.33.
        erase_aspect_draw: distribution of the ratio, ``'log_uniform'`` (tall and wide rectangles
            are equally likely) or ``'uniform'`` (tall ones prevail).
        erase_attempts: number of rectangles that are drawn until one fits, at least 1. A frame for
            which none fits is not erased.
        erase_value: value of erased pixels, one of :data:`ERASE_VALUES`.
        augment_per: unit that each flip and crop is drawn for, ``'clip'`` (paper) or ``'frame'``.

    Raises:
        ValueError: if a transform or choice has another name, or there is no attempt; the message
            lists the names.

    Examples:
        >>> transform = ClipTransform(224, 112, ["random_flip", "random_erase"])
        >>> clip, erased = transform([Image.new("RGB", (128, 256))], np.random.default_rng(0))
        >>> clip.shape, erased.shape
        (torch.Size([1, 3, 224, 112]), torch.Size([1]))
    """

    def __init__(
        self,
        height: int,
        width: int,
        transforms: Sequence[str] = (),
        norm_mean: Sequence[float] | None = None,
        norm_std: Sequence[float] | None = None,
        padding: int = 10,
        erase_probability: float = 0.5,
        erase_area: tuple[float, float] = (0.02, 0.4),
        erase_aspect: tuple[float, float] | None = None,
        erase_aspect_draw: str = "log_uniform",
        erase_attempts: int = 100,
        erase_value: str = "zero",
        augment_per: str = "clip",
    ) -> None:
        unknown = [name for name in transforms if name not in TRANSFORMS]
        if unknown:
            raise ValueError(
                f"Unknown transforms {unknown}: clips have {list(TRANSFORMS)} "
                "(resize and normalisation always happen)"
            )
        for name, value, choices in (
            ("erase_aspect_draw", erase_aspect_draw, ERASE_ASPECTS),
            ("erase_value", erase_value, ERASE_VALUES),
            ("augment_per", augment_per, AUGMENT_PER),
        ):
            if value not in choices:
                raise ValueError(f"{name} is {value!r}, expected one of {list(choices)}")
        if erase_attempts < 1:
            raise ValueError(f"erase_attempts is {erase_attempts}, expected at least 1")
        self.height = height
        self.width = width
        self.transforms = tuple(transforms)
        self.mean = torch.tensor(norm_mean or IMAGENET_MEAN).view(3, 1, 1)
        self.std = torch.tensor(norm_std or IMAGENET_STD).view(3, 1, 1)
        self.padding = padding
        self.erase_probability = erase_probability
        self.erase_area = erase_area
        self.erase_aspect = erase_aspect or ERASE_ASPECTS[erase_aspect_draw]
        self.erase_aspect_draw = erase_aspect_draw
        self.erase_attempts = erase_attempts
        self.erase_value = torch.tensor(ERASE_VALUES[erase_value]).view(3, 1, 1)
        self.augment_per = augment_per

    def __call__(
        self, frames: Sequence[Image.Image], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Transform the frames of one clip.

        Args:
            frames: T frames of any size, in RGB.
            rng: generator of all random draws.

        Returns:
            tuple of Tensor: the clip, (T, 3, H, W), and (T,) with 1 for each erased frame.
        """
        frames = [self.resize(frame) for frame in frames]
        if self.augment_per == "clip":
            frames = self.flip_and_crop(frames, rng)
        else:
            frames = [one for frame in frames for one in self.flip_and_crop([frame], rng)]
        clip = self.normalise(torch.stack([torch.from_numpy(np.array(f)) for f in frames]))
        erased = torch.zeros(len(clip))
        if "random_erase" in self.transforms:
            for position, frame in enumerate(clip):
                if rng.random() < self.erase_probability:
                    erased[position] = float(self.erase(frame, rng))
        return clip, erased

    def resize(self, frame: Image.Image) -> Image.Image:
        """Resize a frame to H×W pixels, bicubic."""
        return frame.resize((self.width, self.height), Image.Resampling.BICUBIC)

    def flip_and_crop(
        self, frames: Sequence[Image.Image], rng: np.random.Generator
    ) -> Sequence[Image.Image]:
        """Flip and crop resized frames, all in the same way, as far as the transforms have it."""
        if "random_flip" in self.transforms and rng.random() < 0.5:
            frames = [ImageOps.mirror(frame) for frame in frames]
        if "random_crop" in self.transforms:
            left, top = (int(shift) for shift in rng.integers(0, 2 * self.padding + 1, size=2))
            box = (left, top, left + self.width, top + self.height)
            frames = [ImageOps.expand(frame, self.padding).crop(box) for frame in frames]
        return frames

    def normalise(self, pixels: Tensor) -> Tensor:
        """Normalise frames, from bytes (N, H, W, 3) to what a network takes, (N, 3, H, W)."""
        mean, std = self.mean.to(pixels.device), self.std.to(pixels.device)
        return pixels.permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std)

    def erase(self, frame: Tensor, rng: np.random.Generator) -> bool:
        """Erase a rectangle of a normalised frame (3, H, W) in place; return False if none fits."""
        height, width = frame.shape[-2:]
        low, high = self.erase_aspect
        # A rectangle that does not fit is drawn again, which is rare in the paper's ranges.
        for _ in range(self.erase_attempts):
            area = rng.uniform(*self.erase_area) * height * width
            if self.erase_aspect_draw == "uniform":
                aspect = rng.uniform(low, high)
            else:
                aspect = math.exp(rng.uniform(math.log(low), math.log(high)))
            rows, columns = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < rows < height and 0 < columns < width:
                top = int(rng.integers(0, height - rows + 1))
                left = int(rng.integers(0, width - columns + 1))
                frame[:, top : top + rows, left : left + columns] = self.erase_value
                return True
        return False
