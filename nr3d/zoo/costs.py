"""What a network costs: parameters, activations and multiply-adds, counted without computing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.resnet import BasicBlock, Bottleneck

from nr3d.models import IBN, MARS_IDENTITIES, Architecture, VideoReID
from nr3d.models.layers.dilated_over_time import DilatedOverTime
from nr3d.models.layers.non_local_block import NonLocalBlock

MIB = 1 << 20

_CONTAINERS = (IBN, NonLocalBlock)
"""Modules of several layers whose output the estimate counts again."""


@dataclass(frozen=True)
class Costs:
    """What a network costs for one clip.

    Args:
        parameters: number of parameters.
        estimate: number of activations by the paper's estimate, in which the frames of a clip
            count as one wherever they are a batch.
        activations: number of activations of all frames of the clip.
        multiply_adds: number of multiplications with an addition.
    """

    parameters: int
    estimate: int
    activations: int
    multiply_adds: int

    @property
    def parameters_mib(self) -> float:
        """The size of the parameters in float32, in MiB."""
        return self.parameters * 4 / MIB

    @property
    def estimate_mib(self) -> float:
        """The paper's estimate of the memory forward and backward, in MiB."""
        return self.estimate * 8 / MIB

    @property
    def activations_mib(self) -> float:
        """The same for all frames of the clip, in MiB."""
        return self.activations * 8 / MIB


def costs_of(
    architecture: Architecture,
    frames: int,
    height: int,
    width: int,
    *,
    identities: int = MARS_IDENTITIES,
    aggregation: str | None = None,
    counts: str = "",
) -> Costs:
    """Count what a network costs for one clip; nothing is computed and no memory is taken.

    The estimate is that of the paper's table, which torchsummary made: the sum over all calls of
    layers, residual blocks and other blocks of the size of their output, with the first dimension
    replaced by one. A batch of the frames of a clip thus counts as a single frame, but a clip of
    five dimensions with all of its frames.

    Args:
        architecture: the network.
        frames: T, the number of frames of the clip.
        height: H, the height of the frames, in pixels.
        width: W, the width of the frames, in pixels.
        identities: K, the number of identities of the classifier. Default is MARS's 625.
        aggregation: the name of an aggregation. Default is the architecture's own.
        counts: the artefact of the estimate for the method's own code; see
            :class:`nr3d.zoo.Method`.

    Examples:
        >>> from nr3d.models import ARCHITECTURES
        >>> costs = costs_of(ARCHITECTURES["gltr_resnet50"], 16, 256, 128)
        >>> f"{costs.parameters_mib:.2f} {costs.estimate_mib:.2f}"
        '94.47 214.11'
    """
    with torch.device("meta"):
        model = architecture(
            identities,
            pretrained=False,
            aggregation=aggregation,
            frames=frames,
            frame_size=(height, width),
        ).eval()
        clip = torch.empty(1, frames, 3, height, width)
    counter = _Counter(model, frames)
    flops = FlopCounterMode(display=False)
    with torch.no_grad(), flops:
        model(clip)
        model.classifier(torch.empty(1, model.feature_dim, device="meta"))
    one, all_ = counter.one_frame, counter.all_frames
    of_head = _head(model)
    pooled = model.channels  # the mean over the maps
    estimate = one + pooled + of_head
    if counts == "trunk":
        estimate += counter.trunk_map
    elif counts == "classifier":
        estimate -= model.feature_dim * identities
    return Costs(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        estimate=estimate,
        activations=all_ + pooled + of_head,
        multiply_adds=flops.get_total_flops() // 2,
    )


def _head(model: VideoReID) -> int:
    """Return the activations of the neck and the classifier for one clip."""
    normed = model.feature_dim * bool(list(model.bottleneck.parameters()))
    hidden = 2 * model.feature_dim if hasattr(model.classifier, "probability") else 0
    return normed + hidden + model.num_classes


class _Counter:
    """Hooks on a network that add up the sizes of its layers' outputs for one clip."""

    def __init__(self, model: VideoReID, frames: int) -> None:
        self.frames = frames
        self.one_frame = 0
        self.all_frames = 0
        self.trunk_map = 0
        for part in (model.backbone, model.aggregation):
            for module in part.modules():
                if isinstance(module, DilatedOverTime):
                    module.register_forward_hook(self._over_time)
                elif isinstance(module, BasicBlock | Bottleneck):
                    # Some trunks call the layers of a block themselves.
                    last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
                    last.register_forward_hook(self._layer)
                if isinstance(module, _CONTAINERS) or not list(module.children()):
                    module.register_forward_hook(self._layer)
        model.backbone.register_forward_hook(self._trunk)

    def _layer(self, module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            self.one_frame += output[0].numel()
            self.all_frames += output.numel()

    def _over_time(self, module: nn.Module, args: Any, output: Tensor) -> None:
        """Count three convolutions and ReLUs and their sum, clips of five dimensions each."""
        self.one_frame += 7 * output.numel()
        self.all_frames += 7 * output.numel()

    def _trunk(self, module: nn.Module, args: Any, output: Tensor) -> None:
        self.trunk_map = output[0, 0].numel() if output.dim() == 5 else output[0].numel()
