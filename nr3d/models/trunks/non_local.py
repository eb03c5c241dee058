"""A ResNet with non-local blocks in its second and third stage."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from nr3d.models.layers.non_local_block import NonLocalBlock
from nr3d.models.trunks.clip_trunk import ClipTrunk
from nr3d.models.trunks.registry import register_trunk

BLOCKS = {2: 2, 3: 3}
"""The number of non-local blocks by stage; they follow the last residual blocks of the stage."""


class NonLocalOverClips(NonLocalBlock):
    """A :class:`NonLocalBlock` over all positions of all frames of a clip.

    Shape:
        - Input: maps of all frames :math:`(B T, C, h, w)`, and T
        - Output: :math:`(B T, C, h, w)`
    """

    def forward(self, maps: Tensor, frames: int) -> Tensor:  # type: ignore[override]
        """Add to every position what it takes of all positions of its clip."""
        clips = maps.view(-1, frames, *maps.shape[1:]).transpose(1, 2)  # (B, C, T, h, w)
        attended = super().forward(clips)
        return attended.transpose(1, 2).flatten(0, 1)


@register_trunk("resnet_non_local")
class NonLocalTrunk(ClipTrunk):
    r"""ResNet with two non-local blocks in stage 2 and three in stage 3.

    Reference:
        Wang et al. Non-local Neural Networks. CVPR 2018. arXiv:1711.07971. As in Liu et al.
        Spatially and Temporally Efficient Non-local Attention Network for Video-based Person
        Re-Identification. BMVC 2019. arXiv:1908.01683, and in the re-identification network of Hou
        et al. VRSTC. CVPR 2019. Public code and weights of the former have no ReLU in the stem.

    Args:
        depth: the number of layers of the ResNet. Paper: 50. Those with fewer than three residual
            blocks in stage 3 have as many non-local blocks there as residual ones.
        ibn: whether stages 1 to 3 have IBN-a norms. Default is False.
        stem_relu: whether the stem has its ReLU. Default is True.

    Shape:
        - Input: :math:`(B, T, 3, H, W)`
        - Output: :math:`(B, T, C, H/16, W/16)`
    """

    tensors_by = ("depth", "ibn")

    def __init__(self, depth: int, ibn: bool = False, stem_relu: bool = True) -> None:
        super().__init__(depth, ibn, stem_relu=stem_relu)

    def layers_over_time(self) -> Mapping[str, nn.Module]:
        """Return the non-local blocks, by the residual block that they follow."""
        found: dict[str, nn.Module] = {}
        for stage, count in BLOCKS.items():
            blocks = len(getattr(self, f"layer{stage}"))
            for position in range(max(0, blocks - count), blocks):
                found[f"layer{stage}_{position}"] = NonLocalOverClips(self.channels_of(stage))
        return found
