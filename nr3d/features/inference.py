"""A network made ready for inference: norms folded, in lower precision, channels innermost."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nr3d.features.precision import Precision
from nr3d.features.resources import explained, require_compiler
from nr3d.models import ClipFeatures, VideoReID, channels_innermost, folded


@dataclass(frozen=True)
class InferenceOptions:
    """How features are computed.

    Args:
        precision: the type of the trunk, as for :class:`Precision`; what comes after the maps is
            float32.
        compile: whether to compile the trunk with ``torch.compile``, which needs a C++ compiler or
            a GPU.
    """

    precision: str = "auto"
    compile: bool = False


class Inference:
    """Features from a copy of a network that is made for nothing else.

    The features of clips of a frame-wise network come in two steps, so that frames of any clips go
    through the trunk together: :meth:`of_frames`, then :meth:`of_clips`. A network whose trunk
    mixes the frames of a clip takes whole clips: :meth:`embed`.

    Args:
        model: the network; it is left as it is.
        device: the device to compute on.
        options: options of the computation. Default is automatic precision, not compiled.

    Attributes:
        precision: the type in use.
        frame_wise: whether the network is frame-wise.

    Raises:
        ValueError: if there is no precision of that name.
        Nr3dError: if ``torch.compile`` is asked for and does not work.

    Examples:
        >>> model = VideoReID(depth=18).eval()
        >>> inference = Inference(model, torch.device("cpu"), InferenceOptions("float32"))
        >>> clips = torch.rand(2, 4, 3, 224, 112)
        >>> parts = inference.of_frames(clips.flatten(0, 1))
        >>> features = inference.of_clips(*(part.unflatten(0, (2, 4)) for part in parts)).features
        >>> bool((features - model(clips)).abs().max() < 1e-3)
        True
        >>> bool((inference.embed(clips).features - features).abs().max() < 1e-3)
        True
    """

    def __init__(
        self, model: VideoReID, device: torch.device, options: InferenceOptions | None = None
    ) -> None:
        options = options or InferenceOptions()
        self.device = device
        self.precision = Precision(options.precision, device, key="test.precision")
        self.model = folded(model).to(device)
        self.frame_wise = self.model.frame_wise
        trunk: Any = self.model.backbone
        trunk.to(self.precision.dtype)
        channels_innermost(trunk)
        for layer in self.model.layers_on_maps():
            layer.to(self.precision.dtype)
        if options.compile:
            require_compiler(device, "test.compile")
            trunk.compile()

    @torch.inference_mode()
    def of_frames(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return what clips need of their frames, from a frame-wise network.

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
        """Return the features of clips, from parts (B, T, ...) each."""
        with _explained():
            return self.model.of_clips(*parts)

    @torch.inference_mode()
    def embed(self, clips: Tensor) -> ClipFeatures:
        """Return the features of whole clips, from any network.

        Args:
            clips: (B, T, 3, H, W), normalised.

        Returns:
            ClipFeatures: float32, ``features`` (B, D), ``scores`` (B, T) and ``weights`` (B, T).
        """
        with _explained():
            parts = self.model.parts_of(clips.to(self.device, self.precision.dtype))
            aggregated = self.model.of_clips(*(part.float() for part in parts))
            return aggregated.over_frames(clips.shape[1])


def _explained() -> contextlib.AbstractContextManager[None]:
    return explained("test.batch_size", compile_key="test.compile")
