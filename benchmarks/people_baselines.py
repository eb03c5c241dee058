"""Features of frames that nobody trained for these people, as networks of nr3d's extraction."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nr3d.models import VideoReID

UNCHANGED = ([0.0] * 3, [1.0] * 3)
"""Mean and standard deviation with which a transform leaves pixels from 0 to 1 as they are."""


class FrameFeatures(nn.Module):
    """Trunk that gives the feature of a frame as a map of one pixel, (N, D, 1, 1).

    Args:
        features: module from frames (N, 3, H, W) to features (N, D).
        channels: D, the size of a feature.
    """

    frame_wise = True

    def __init__(self, features: nn.Module, channels: int) -> None:
        super().__init__()
        self.features = features
        self.channels = channels

    def forward(self, images: Tensor) -> Tensor:
        """Return the feature of each image."""
        found: Tensor = self.features(images)
        return found[..., None, None]


def mean_over_frames(features: nn.Module, channels: int) -> VideoReID:
    """Return a network whose feature of a tracklet is the mean of its frames' features.

    Args:
        features: module from frames (N, 3, H, W) to features (N, D).
        channels: D, the size of a feature.
    """
    trunk = FrameFeatures(features, channels)
    model = VideoReID(num_classes=1, aggregation="mean", feature="before", trunk=trunk)
    return model.eval()


class ColourHistogram(nn.Module):
    """Histogram of hue, saturation and value in horizontal stripes of a frame.

    The square root of each share is taken, so that squared Euclidean distances between histograms
    are Hellinger's.

    Args:
        bins: number of bins of hue, saturation and value.
        stripes: number of stripes of equal height.

    Shape:
        - Input: images with colours from 0 to 1, :math:`(N, 3, H, W)`
        - Output: :math:`(N, stripes · bins)`
    """

    def __init__(self, bins: tuple[int, int, int] = (8, 4, 4), stripes: int = 8) -> None:
        super().__init__()
        self.bins = bins
        self.stripes = stripes
        self.channels = stripes * bins[0] * bins[1] * bins[2]

    def forward(self, images: Tensor) -> Tensor:
        """Return the histogram of each image."""
        height, width = images.shape[-2:]
        stripe = torch.arange(height) * self.stripes // height
        place = stripe[:, None].expand(height, width)
        for values, bins in zip(hsv(images), self.bins, strict=True):
            place = place * bins + (values * bins).long().clamp(0, bins - 1)  # (N, H, W)
        counts = images.new_zeros(len(images), self.channels)
        ones = torch.ones_like(place, dtype=images.dtype)
        counts.scatter_add_(1, place.flatten(1), ones.flatten(1))
        return (counts / (height * width)).sqrt()


def hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return hue, saturation and value, (N, H, W) from 0 to 1 each, of images (N, 3, H, W).

    A grey pixel has hue 0.

    Examples:
        >>> [float(each) for each in hsv(torch.tensor([0.0, 0.5, 0.25]).view(1, 3, 1, 1))]
        [0.4166666567325592, 1.0, 0.5]
    """
    value, first = images.max(dim=1)
    range_ = value - images.amin(dim=1)
    red, green, blue = images.unbind(dim=1)
    sixths = torch.where(
        first == 0,
        (green - blue) / range_,
        torch.where(first == 1, (blue - red) / range_ + 2, (red - green) / range_ + 4),
    )
    hue = torch.where(range_ > 0, sixths / 6 % 1, 0.0)
    saturation = torch.where(value > 0, range_ / value, 0.0)
    return hue, saturation, value


@dataclass(frozen=True)
class Network:
    """A network to test.

    Args:
        title: name in the tables.
        model: the network.
        size: height and width of its input, in pixels.
        norm: means and standard deviations of red, green and blue; None for ImageNet's.
        seq_len: T, number of frames of a clip.
    """

    title: str
    model: VideoReID
    size: tuple[int, int]
    norm: tuple[list[float], list[float]] | None = None
    seq_len: int = 1

    @property
    def parameters(self) -> int:
        """The number of parameters that a feature depends on."""
        parts = [self.model.backbone, self.model.aggregation]
        if self.model.feature == "after":
            parts.append(self.model.bottleneck)
        return sum(parameter.numel() for part in parts for parameter in part.parameters())


def raw_pixels() -> Network:
    """Return the network of raw pixels: the frame at 16 x 8 pixels."""
    size = (16, 8)
    model = mean_over_frames(nn.Flatten(), 3 * size[0] * size[1])
    return Network("raw pixels", model, size, UNCHANGED)


def colour_histogram() -> Network:
    """Return the network of colour histograms, at the size that the images have."""
    histogram = ColourHistogram()
    model = mean_over_frames(histogram, histogram.channels)
    return Network("HSV histogram in 8 stripes", model, (128, 64), UNCHANGED)
