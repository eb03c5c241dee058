"""Networks optimised for inference: folded norms, lower precision, channels-last format."""

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
    """Options of the computation of features.

    Args:
        precision: the number type of the trunk, as for :class:`Precision`; after the feature maps
            everything is float32.
        compile: whether to compile the trunk with ``torch.compile``, which needs a C++ compiler or
            a GPU.
    """

    precision: str = "auto"
    compile: bool = False


class Inference:
    """A copy of a network, optimised to compute features.

    A frame-wise network computes the features of clips in two steps, :meth:`of_frames` and then
    :meth:`of_clips`, so that frames of different clips share the trunk's batches. A network whose
    trunk mixes the frames of a clip takes whole clips: :meth:`embed`.

    Args:
        model: the network, which is not modified.
        device: the device to compute on.
        options: options of the computation. Default is automatic precision, not compiled.

    Attributes:
        precision: the precision in use.
        frame_wise: whether the network is frame-wise.

    Raises:
        ValueError: if the precision is unknown.
        Nr3dError: if ``options.compile`` is set and ``torch.compile`` does not work.

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
        """Compute what clips need of each frame, with a frame-wise network.

        Args:
            images: normalised frames (N, 3, H, W).

        Returns:
            tuple of Tensor: the input of :meth:`of_clips`, in float32, (N, ...) each.
        """
        with _explained():
            images = images.to(self.device, self.precision.dtype, memory_format=torch.channels_last)
            return tuple(part.float() for part in self.model.of_frames(images))

    @torch.inference_mode()
    def of_clips(self, *parts: Tensor) -> ClipFeatures:
        """Return the features of clips from the output of :meth:`of_frames`, (B, T, ...) each."""
        with _explained():
            return self.model.of_clips(*parts)

    @torch.inference_mode()
    def embed(self, clips: Tensor) -> ClipFeatures:
        """Return the features of whole clips, with any network.

        Args:
            clips: normalised clips (B, T, 3, H, W).

        Returns:
            ClipFeatures: ``features`` (B, D), ``scores`` and ``weights`` (B, T), in float32.
        """
        with _explained():
            parts = self.model.parts_of(clips.to(self.device, self.precision.dtype))
            aggregated = self.model.of_clips(*(part.float() for part in parts))
            return aggregated.over_frames(clips.shape[1])


def _explained() -> contextlib.AbstractContextManager[None]:
    return explained("test.batch_size", compile_key="test.compile")
