"""The trunk of M3D: a ResNet with dilated convolutions over time."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from nr3d.models.layers.dilated_over_time import DilatedOverTime
from nr3d.models.trunks.clip_trunk import STEM, ClipTrunk
from nr3d.models.trunks.registry import register_trunk


@register_trunk("resnet_m3d")
class M3DTrunk(ClipTrunk):
    r"""ResNet with :class:`DilatedOverTime` in its stem and in the first block of each stage.

    In the stem the layer follows the ReLU; in a block it stands between the ReLU after the 3×3
    convolution and the last convolution. Time keeps its resolution.

    Reference:
        Li et al. Multi-scale Temporal Cues Learning for Video Person Re-Identification. IEEE
        Transactions on Image Processing 29, 2020. The deviation of :class:`DilatedOverTime`
        applies.

    Args:
        depth: the number of layers of the ResNet. Paper: 50. In blocks of two convolutions, the
            layer stands between them.
        ibn: whether stages 1 to 3 have IBN-a norms. Default is False.
        start: the values that the layers over time start with, ``'small'`` or ``'zero'``.

    Shape:
        - Input: :math:`(B, T, 3, H, W)`
        - Output: :math:`(B, T, C, H/16, W/16)`
    """

    tensors_by = ("depth", "ibn")

    def __init__(self, depth: int, ibn: bool = False, start: str = "small") -> None:
        self.start = start
        super().__init__(depth, ibn)

    def layers_over_time(self) -> Mapping[str, nn.Module]:
        """Return the layer of the stem, and those within the first blocks."""
        found: dict[str, nn.Module] = {STEM: DilatedOverTime(self.conv1.out_channels, self.start)}
        for stage in range(1, 5):
            inner = getattr(self, f"layer{stage}")[0].conv1.out_channels
            found[f"within_layer{stage}_0"] = DilatedOverTime(inner, self.start)
        return found

    def through(self, block: BasicBlock | Bottleneck, place: str, x: Tensor, frames: int) -> Tensor:
        """Return the output of a block, with the layer over time inside it if it has one."""
        within = f"within_{place}"
        if within not in self.over_time:
            return super().through(block, place, x, frames)
        identity = x if block.downsample is None else block.downsample(x)
        out = block.relu(block.bn1(block.conv1(x)))
        if isinstance(block, Bottleneck):
            out = block.relu(block.bn2(block.conv2(out)))
            out = block.bn3(block.conv3(self.at(within, out, frames)))
        else:
            out = block.bn2(block.conv2(self.at(within, out, frames)))
        output: Tensor = block.relu(out + identity)
        return output
