"""The frame trunk: a ResNet with IBN-a whose last stage keeps its resolution."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from nr3d.models.layers.ibn import IBN
from nr3d.models.trunks.registry import register_trunk
from nr3d.weights.layouts import Layout, register_layout

DEPTHS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], list[int]]] = {
    18: (BasicBlock, [2, 2, 2, 2]),
    34: (BasicBlock, [3, 4, 6, 3]),
    50: (Bottleneck, [3, 4, 6, 3]),
    101: (Bottleneck, [3, 4, 23, 3]),
}
"""Block, and number of blocks in each of the four stages, by depth."""

register_layout(
    Layout(
        "torchvision",
        "ImageNet files of torchvision and IBN-Net, and torchreid's ResNets",
        ("conv1.weight", "layer1.0.conv1.weight"),
        ((r"((conv1|bn1|layer[1-4])\..+)", r"backbone.\1"),),
        (
            (r"fc\..+", "the classifier of the trunk's own training"),
            (r"classifier\..+", "the classifier of the trunk's own training"),
        ),
        trunk_only=True,
    )
)


@register_trunk("resnet")
class FrameTrunk(ResNet):  # type: ignore[misc]
    r"""ResNet up to its last feature map, with IBN-a norms and last stride 1.

    With ``ibn=True`` the first norm of every block in stages 1 to 3 is an :class:`IBN`; stage 4
    keeps plain batch normalisation. State-dict keys are torchvision's, with
    ``layerL.B.bn1.IN.*`` and ``layerL.B.bn1.BN.*`` for IBN, so that published IBN-a weights fit.

    Reference:
        He et al. Deep Residual Learning for Image Recognition. CVPR 2016. arXiv:1512.03385.
        Pan et al. Two at Once. ECCV 2018. arXiv:1807.09441.
        Last stride 1: Sun et al. Beyond Part Models. ECCV 2018. arXiv:1711.09349.
        Linear last block: Porrello et al. Robust Re-Identification by Multiple Views Knowledge
        Distillation. ECCV 2020. arXiv:2007.04174, as in its published code and weights.

    Args:
        depth: the number of layers: 18, 34, 50 (paper) or 101.
        ibn: whether stages 1 to 3 have IBN-a norms. Default is True.
        last_relu: False to omit every ReLU of the last block, so that the map may be negative.
            Default is True.

    Attributes:
        channels: C, the number of channels of the feature map: 512 for depths 18 and 34, else 2048.
        last_relu: whether the last block has its ReLUs.

    Shape:
        - Input: :math:`(N, 3, H, W)`
        - Output: :math:`(N, C, H/16, W/16)`, which is 14×7 for 224×112 pixels.

    Raises:
        ValueError: if the depth is not one of these.

    Examples:
        >>> import torch
        >>> FrameTrunk(50)(torch.rand(1, 3, 224, 112)).shape
        torch.Size([1, 2048, 14, 7])
    """

    frame_wise = True
    tensors_by: tuple[str, ...] = ("depth", "ibn")
    """A linear last block has the same tensors as one with ReLUs."""

    def __init__(self, depth: int, ibn: bool = True, last_relu: bool = True) -> None:
        if depth not in DEPTHS:
            raise ValueError(f"depth is {depth}, expected one of {sorted(DEPTHS)}")
        block, stages = DEPTHS[depth]
        super().__init__(block, stages)
        self.channels: int = self.fc.in_features
        self.last_relu = last_relu
        # The trunk ends at its feature map.
        del self.avgpool, self.fc
        if ibn:
            for stage in (self.layer1, self.layer2, self.layer3):
                for residual in stage:
                    residual.bn1 = IBN(residual.bn1.num_features)
        first = self.layer4[0]
        strided = first.conv2 if block is Bottleneck else first.conv1
        strided.stride = (1, 1)
        first.downsample[0].stride = (1, 1)
        if not last_relu:
            # All ReLUs of a block are one module, so the inner ones go with the last.
            self.layer4[-1].relu = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Return the last stage's feature map of each image."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))  # (N, 64, H/4, W/4)
        x = self.layer1(x)
        x = self.layer2(x)  # (N, ., H/8, W/8)
        x = self.layer3(x)  # (N, ., H/16, W/16)
        maps: Tensor = self.layer4(x)  # (N, C, H/16, W/16)
        return maps
