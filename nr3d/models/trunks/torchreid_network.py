"""Any image network of torchreid as a frame trunk."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nr3d.errors import reason_of
from nr3d.host import torchreid
from nr3d.models.trunks.registry import register_trunk
from nr3d.registry import image_networks
from nr3d.weights.layouts import Layout

REFUSED = {
    "hacnn": "it trains two features of a frame, and tests with one that joins them",
}
"""Networks that cannot be a trunk, each with the reason."""

_FLATTENED = {"mudeep": "block5", "pcb_p4": "parts_avgpool", "pcb_p6": "parts_avgpool"}
"""Parts whose output their network flattens in a way that needs the channels outermost."""

_CLASSIFIERS = ("classifier", "fc", "last_linear")
"""Names of the classifiers in files of image networks."""


@register_trunk("torchreid")
class TorchreidTrunk(nn.Module):
    r"""An image network of torchreid, whose feature of a frame is a map of a single position.

    The network is built by torchreid's own factory. The parts that its feature does not depend on,
    such as its classifier, are replaced by :class:`torch.nn.Identity`. State-dict keys are
    torchreid's, after ``network.``.

    Args:
        name: the name that torchreid's ``build_model`` takes, such as ``'osnet_x1_0'``.
        height: the height of the frames, in pixels. Default is torchreid's, 256. Like the width,
            it changes no tensor, but a network that cannot take such frames is refused.
        width: the width of the frames, in pixels. Default is torchreid's, 128.

    Attributes:
        network: torchreid's network.
        channels: C, the size of the network's feature.
        left_out: the names of the parts that were replaced.

    Shape:
        - Input: :math:`(N, 3, H, W)`
        - Output: :math:`(N, C, 1, 1)`

    Raises:
        ValueError: if torchreid has no such network, it gives no single feature of the same size
            in training and in eval mode, or it cannot take frames of this size.

    Examples:
        >>> TorchreidTrunk("osnet_x0_25")(torch.rand(2, 3, 64, 32)).shape
        torch.Size([2, 512, 1, 1])
    """

    frame_wise = True
    tensors_by = ("name",)
    built_for = ("height", "width")

    def __init__(self, name: str, height: int = 256, width: int = 128) -> None:
        if name not in image_networks():
            raise ValueError(f"torchreid has no image network {name!r}")
        if name in REFUSED:
            raise ValueError(f"{name} cannot be a trunk: {REFUSED[name]}")
        super().__init__()
        self.name = name
        self.network: nn.Module = torchreid.models.build_model(
            name, 1, loss="triplet", pretrained=False, use_gpu=False
        )
        self.left_out = tuple(self._without_effect((height, width)))
        for part in self.left_out:
            _empty(self.network, part)
        self.channels = self._size_of_feature((height, width))
        if name in _FLATTENED:
            self.network.get_submodule(_FLATTENED[name]).register_forward_hook(_channels_outermost)

    def forward(self, images: Tensor) -> Tensor:
        """Return the feature of each image."""
        found = self.network(images)
        features: Tensor = found[1] if self.training else found  # (N, C)
        return features[:, :, None, None]

    @property
    def layout(self) -> Layout:
        """The layout of torchreid's files of this network."""
        own = {name for name, _ in self.network.named_children()}.difference(self.left_out)
        unused = {
            **dict.fromkeys(self.left_out, "the trunk's feature does not depend on it"),
            **dict.fromkeys(_CLASSIFIERS, "the classifier of the trunk's own training"),
        }
        return Layout(
            "torchreid",
            f"torchreid's {self.name}",
            (next(iter(self.network.state_dict())),),
            ((r"(.+)", r"backbone.network.\1"),),
            tuple(
                (rf"{re.escape(part)}\..+", why) for part, why in unused.items() if part not in own
            ),
            trunk_only=True,
        )

    def _without_effect(self, size: tuple[int, int]) -> list[str]:
        """Return the names of the network's parts that its feature does not depend on."""
        without: list[set[str]] = []
        for training in (True, False):
            parameters = _on_meta(dict(self.network.named_parameters()))
            feature = self._feature(size, parameters, training=training)
            of_each = torch.autograd.grad(
                feature.sum(), list(parameters.values()), allow_unused=True
            )
            pairs = zip(parameters, of_each, strict=True)
            without.append({key for key, found in pairs if found is None})
        found: list[str] = []
        for part, module in self.network.named_children():
            held = {f"{part}.{key}" for key, _ in module.named_parameters()}
            if held and held <= without[0] & without[1]:
                found.append(part)
        left = {key for key in without[0] if key.split(".")[0] not in found}
        if left:
            raise ValueError(
                f"{self.name} cannot be a trunk: its feature trains only a part of "
                f"{', '.join(sorted({key.split('.')[0] for key in left}))}"
            )
        return found

    def _size_of_feature(self, size: tuple[int, int]) -> int:
        """Return the size of the network's feature, which is the same in both modes."""
        parameters = _on_meta(dict(self.network.named_parameters()))
        with torch.no_grad():
            in_training, in_eval = (
                self._feature(size, parameters, training=training) for training in (True, False)
            )
        if in_training.shape != in_eval.shape:
            raise ValueError(
                f"{self.name} cannot be a trunk: its feature has {in_training.shape[1]} numbers in "
                f"training and {in_eval.shape[1]} in tests"
            )
        return int(in_eval.shape[1])

    def _feature(
        self, size: tuple[int, int], parameters: dict[str, Tensor], *, training: bool
    ) -> Tensor:
        """Return the feature of two frames on the meta device, where only shapes are computed."""
        state = {**parameters, **_on_meta(dict(self.network.named_buffers()))}
        mode = self.network.training
        self.network.train(training)
        try:
            found = functional_call(self.network, state, (torch.empty(2, 3, *size, device="meta"),))
        # Networks refuse a size by errors of several kinds, their own or PyTorch's.
        except (RuntimeError, ValueError, AssertionError, IndexError) as error:
            raise ValueError(
                f"{self.name} cannot take frames of {size[0]}×{size[1]} pixels "
                f"({reason_of(error)}): set data.height and data.width to those of its paper, in "
                "torchreid mostly 256 and 128"
            ) from error
        finally:
            self.network.train(mode)
        feature: Any = found[1] if training and isinstance(found, tuple | list) else found
        if not isinstance(feature, Tensor) or feature.dim() != 2:
            raise ValueError(
                f"{self.name} cannot be a trunk: it gives no single feature (N, D) in "
                f"{'training' if training else 'tests'}"
            )
        return feature


def _on_meta(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        key: torch.empty_like(value, device="meta", requires_grad=value.requires_grad)
        for key, value in tensors.items()
    }


def _empty(network: nn.Module, part: str) -> None:
    """Replace a part of a network, or each one of a list of them, by the identity."""
    present = getattr(network, part)
    if isinstance(present, nn.ModuleList):
        setattr(network, part, nn.ModuleList(nn.Identity() for _ in present))
    else:
        setattr(network, part, nn.Identity())


def _channels_outermost(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return output.contiguous()
