"""A ResNet over clips, with layers between its blocks that see all frames of a clip."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from nr3d.models.trunks.resnet import FrameTrunk

STEM = "stem"
"""The place after the stem's ReLU, before its pooling."""


class ClipTrunk(FrameTrunk):
    """A :class:`FrameTrunk` whose blocks alternate with layers over the frames of a clip.

    Subclasses say which layers there are, by their place: :data:`STEM`, or ``layer2_1`` after the
    second block of the second stage. A layer takes the maps of all frames, (B·T, C, h, w), and T,
    and returns maps of the same shape. State-dict keys of the ResNet are torchvision's; those of
    the layers begin with ``over_time.``.

    Args:
        depth: the number of layers of the ResNet: 18, 34, 50 or 101.
        ibn: whether stages 1 to 3 have IBN-a norms. Default is False.
        stem_relu: whether the stem has its ReLU. Default is True.

    Attributes:
        over_time: the layers over the frames, by place.

    Shape:
        - Input: :math:`(B, T, 3, H, W)`
        - Output: :math:`(B, T, C, H/16, W/16)`
    """

    frame_wise = False
    added = "over_time"
    """The part that a plain ResNet's weights do not have."""

    def __init__(self, depth: int, ibn: bool = False, *, stem_relu: bool = True) -> None:
        super().__init__(depth, ibn)
        self.stem_relu = stem_relu
        self.over_time = nn.ModuleDict(dict(self.layers_over_time()))

    def layers_over_time(self) -> Mapping[str, nn.Module]:
        """Return new layers over the frames of a clip, by place."""
        raise NotImplementedError

    def forward(self, clips: Tensor) -> Tensor:
        """Return the last stage's feature map of each frame."""
        frames = clips.shape[1]
        x = self.bn1(self.conv1(clips.flatten(0, 1)))  # (B·T, 64, H/2, W/2)
        x = self.relu(x) if self.stem_relu else x
        x = self.maxpool(self.at(STEM, x, frames))  # (B·T, 64, H/4, W/4)
        for stage in range(1, 5):
            for position, block in enumerate(getattr(self, f"layer{stage}")):
                place = f"layer{stage}_{position}"
                x = self.at(place, self.through(block, place, x, frames), frames)
        maps: Tensor = x.view(-1, frames, *x.shape[1:])
        return maps  # (B, T, C, H/16, W/16)

    def through(self, block: BasicBlock | Bottleneck, place: str, x: Tensor, frames: int) -> Tensor:
        """Return the output of a block at a place; subclasses may look inside it."""
        output: Tensor = block(x)
        return output

    def at(self, place: str, x: Tensor, frames: int) -> Tensor:
        """Apply the layer over the frames at a place, if there is one."""
        return self.over_time[place](x, frames) if place in self.over_time else x

    def channels_of(self, stage: int) -> int:
        """Return the number of channels after a stage, 1 to 4."""
        last = getattr(self, f"layer{stage}")[-1]
        norm = last.bn3 if isinstance(last, Bottleneck) else last.bn2
        return int(norm.num_features)
