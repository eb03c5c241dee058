"""The trunk of Co-Segmentation: co-segmentation after its last two stages."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from nr3d.models.layers.co_segmentation import CoSegmentation
from nr3d.models.trunks.clip_trunk import ClipTrunk
from nr3d.models.trunks.registry import register_trunk


@register_trunk("resnet_co_segmentation")
class CoSegmentationTrunk(ClipTrunk):
    r"""ResNet with :class:`CoSegmentation` after the third and the fourth stage.

    It is built for one clip length and one frame size.

    Reference:
        Subramaniam, Nambiar and Mittal. Co-Segmentation Inspired Attention Networks for
        Video-Based Person Re-Identification. ICCV 2019.

    Args:
        depth: the number of layers of the ResNet. Paper: 50.
        ibn: whether stages 1 to 3 have IBN-a norms. Default is False.
        frames: T, the number of frames of a clip, at least 2. Paper: 4.
        height: H, the height of the frames, in pixels. Paper: 256.
        width: W, the width of the frames, in pixels. Paper: 128.

    Shape:
        - Input: :math:`(B, T, 3, H, W)`
        - Output: :math:`(B, T, C, H/16, W/16)`

    Raises:
        ValueError: if ``frames`` is below 2; in forward, if clips have another length or size.
    """

    tensors_by = ("depth", "ibn", "frames", "height", "width")
    built_for = ("frames", "height", "width")

    def __init__(
        self, depth: int, ibn: bool = False, frames: int = 4, height: int = 256, width: int = 128
    ) -> None:
        self.frames = frames
        self.map_size = (-(-height // 16), -(-width // 16))  # each of four strides rounds up
        super().__init__(depth, ibn)

    def layers_over_time(self) -> Mapping[str, nn.Module]:
        """Return the layers after stages 3 and 4."""
        return {
            f"layer{stage}_{len(getattr(self, f'layer{stage}')) - 1}": CoSegmentation(
                self.channels_of(stage), self.frames, self.map_size
            )
            for stage in (3, 4)
        }
