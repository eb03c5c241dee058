"""A network made ready for inference: norms folded, in lower precision, channels last."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nr3d.features.precision import Precision
from nr3d.features.resources import explained, require_compiler
from nr3d.models import ClipFeatures, SpatialTemporalAttention, VideoReID, folded


@dataclass(frozen=True)
class InferenceOptions:
    """How features are computed.

    Args:
        precision: type of the trunk, as for :class:`Precision`; what comes after it is float32.
        compile: compile the trunk with ``torch.compile``, which needs a C++ compiler or a GPU.
    """

    precision: str = "auto"
    compile: bool = False


class Inference:
    """Features from a copy of a network that is made for nothing else.

    The features of clips come in two steps, so that frames of any clips go through the trunk
    together: :meth:`of_frames`, then :meth:`of_clips`.

    Args:
        model: the network; it is left as it is.
        device: where to compute.
        options: how.

    Attributes:
        precision: the type in use.

    Raises:
        ValueError: for a precision of another name.
        Nr3dError: if ``torch.compile`` is asked for and does not work.

    Examples::
        >>> model = VideoReID(depth=18).eval()
        >>> inference = Inference(model, torch.device("cpu"), InferenceOptions("float32"))
        >>> clips = torch.rand(2, 4, 3, 224, 112)
        >>> parts = inference.of_frames(clips.flatten(0, 1))
        >>> features = inference.of_clips(*(part.unflatten(0, (2, 4)) for part in parts)).features
        >>> bool((features - model(clips)).abs().max() < 1e-3)
        True
    """

    def __init__(
        self, model: VideoReID, device: torch.device, options: InferenceOptions | None = None
    ) -> None:
        options = options or InferenceOptions()
        self.device = device
        self.precision = Precision(options.precision, device, key="test.precision")
        self.model = folded(model).to(device)
        trunk: Any = self.model.backbone
        trunk.to(self.precision.dtype, memory_format=torch.channels_last)
        if isinstance(self.model.aggregation, SpatialTemporalAttention):
            # Of all that follows the trunk this alone works on whole maps.
            self.model.aggregation.spatial.to(self.precision.dtype)
        if options.compile:
            require_compiler(device, "test.compile")
            trunk.compile()

    @torch.inference_mode()
    def of_frames(self, images: Tensor) -> tuple[Tensor, ...]:
        """Give what clips need of their frames.

        Args:
            images: (N, 3, H, W), normalised.

        Returns:
            tuple of Tensor: float32, (N, ...) each, for :meth:`of_clips`.
        """
        with _explained():
            images = images.to(self.device, self.precision.dtype, memory_format=torch.channels_last)
            return tuple(part.float() for part in self.model.of_frames(images))

    @torch.inference_mode()
    def of_clips(self, *parts: Tensor) -> ClipFeatures:
        """Give the features of clips, (B, T, ...) each part."""
        with _explained():
            return self.model.of_clips(*parts)


def _explained() -> contextlib.AbstractContextManager[None]:
    return explained("test.batch_size", compile_key="test.compile")
