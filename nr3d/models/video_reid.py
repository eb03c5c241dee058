"""The video re-ID network: trunk, aggregation, neck and classifier, one after the other."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from nr3d.models.aggregation import ClipFeatures, WholeMaps, build_aggregation
from nr3d.models.layers.neck import BottleneckNorm
from nr3d.models.trunks.resnet import FrameTrunk
from nr3d.weights.entry import FEATURES, WeightsEntry

MARS_IDENTITIES = 625
"""Identities of MARS's training set: the default ``num_classes`` of our models."""

LOSSES = ("softmax", "triplet", "not3d")
"""What a model can be built for; see :class:`VideoReID`."""


class VideoReID(nn.Module):
    r"""Single-stream 2D network that gives one feature per clip.

    .. math::
        map_t = \mathrm{trunk}(frame_t), \quad f = \mathrm{aggregation}(map_1 \dots map_T), \quad
        logits = W \cdot \mathrm{BN}(f)

    The feature is :math:`\mathrm{BN}(f)`, or :math:`f` with ``feature='before'``.

    Reference:
        Alsehaim and Breckon. Not 3D Re-ID: Simple Single Stream 2D Convolution for Robust Video
        Re-identification. ICPR 2020. arXiv:2008.06318.

    Args:
        depth: depth of the ResNet trunk: 18, 34, 50 (paper) or 101.
        num_classes: K, identities to classify in training. Paper: 625 (MARS).
        loss: what training mode returns: ``'softmax'``, ``'triplet'`` or ``'not3d'``.
        ibn: IBN-a norms in the trunk. Paper: True.
        aggregation: ``'attention'`` (paper) or ``'mean'``.
        feature: ``'after'`` the neck (paper) or ``'before'`` it.
        last_relu: False for a trunk whose last block is linear; see :class:`FrameTrunk`.

    Attributes:
        backbone, aggregation, bottleneck, classifier: the four parts; any of them may be replaced
            by a module of the same shapes.
        feature_dim: D, the size of a feature: 512 for depth 18 and 34, else 2048.
        feature: where the feature is taken; weights that were made for the other place set it.
        architecture: name that the model was built by; None for a network built by its class.
        entry: what the index or the file says of the weights that were loaded: their input size,
            frames of a clip, normalisation; None where nothing is said.

    Shape:
        - Input: clips :math:`(B, T, 3, H, W)`, or images :math:`(N, 3, H, W)` as clips of one
          frame.
        - Output in eval mode: features :math:`(B, D)`.
        - Output in training: ``'softmax'``: logits :math:`(B, K)`; ``'triplet'``: (logits,
          features); ``'not3d'``: (logits, features, attention scores :math:`(B, T)`).

    Raises:
        KeyError: for an unknown ``loss``, ``aggregation`` or ``feature``; the message lists the
            choices.
        ValueError: if the input has neither 4 nor 5 dimensions or not 3 channels.

    Examples::
        >>> import torch
        >>> model = VideoReID(depth=18, num_classes=10, loss='not3d').eval()
        >>> model(torch.rand(2, 4, 3, 224, 112)).shape
        torch.Size([2, 512])
    """

    def __init__(
        self,
        depth: int,
        num_classes: int = MARS_IDENTITIES,
        loss: str = "softmax",
        ibn: bool = True,
        aggregation: str = "attention",
        feature: str = "after",
        last_relu: bool = True,
    ) -> None:
        if loss not in LOSSES:
            raise KeyError(f"Unsupported loss: {loss!r}. Must be one of {list(LOSSES)}")
        if feature not in FEATURES:
            raise KeyError(f"Unknown feature: {feature!r}. Must be one of {list(FEATURES)}")
        super().__init__()
        self.loss = loss
        self.feature = feature
        self.architecture: str | None = None
        self.entry: WeightsEntry | None = None
        self.backbone = FrameTrunk(depth, ibn, last_relu)
        self.feature_dim: int = self.backbone.channels
        self.aggregation = build_aggregation(aggregation, self.feature_dim)
        self.bottleneck = BottleneckNorm(self.feature_dim)
        self.classifier = nn.Linear(self.feature_dim, num_classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def featuremaps(self, clips: Tensor) -> Tensor:
        """Give the trunk's feature map of every frame, (B, T, C, h, w)."""
        if clips.dim() == 4:
            clips = clips.unsqueeze(1)  # an image is a clip of one frame
        if clips.dim() != 5 or clips.shape[2] != 3:
            raise ValueError(
                f"input has shape {tuple(clips.shape)}, expected clips (B, T, 3, H, W) "
                "or images (N, 3, H, W)"
            )
        maps: Tensor = self.backbone(clips.flatten(0, 1))  # (B·T, C, h, w)
        return maps.view(*clips.shape[:2], *maps.shape[1:])  # (B, T, C, h, w)

    def of_frames(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Give what clips need of each of their frames: the first, costly part of :meth:`embed`.

        Args:
            frames: (N, 3, H, W), of any number of clips.

        Returns:
            tuple of Tensor: (N, ...) each, for :meth:`of_clips`.

        Examples::
            >>> import torch
            >>> model = VideoReID(depth=18).eval()
            >>> where, pooled = model.of_frames(torch.rand(3, 3, 224, 112))
            >>> model.of_clips(where[None], pooled[None]).features.shape
            torch.Size([1, 512])
        """
        parts: tuple[Tensor, ...] = self._stages.of_frames(self.backbone(frames))
        return parts

    def of_clips(self, *parts: Tensor) -> ClipFeatures:
        """Give the features of clips whose frames :meth:`of_frames` took, (B, T, ...) each part."""
        return self._after_neck(self._stages.of_clips(*parts))

    @property
    def _stages(self) -> Any:
        """The aggregation's two stages; a module put in its place may have none of its own."""
        aggregation = self.aggregation
        return aggregation if hasattr(aggregation, "of_frames") else WholeMaps(aggregation)

    def _after_neck(self, aggregated: ClipFeatures) -> ClipFeatures:
        if self.feature == "before":
            return aggregated
        return aggregated._replace(features=self.bottleneck(aggregated.features))

    def embed(self, clips: Tensor) -> ClipFeatures:
        """Give the features with the attention behind them.

        Args:
            clips: (B, T, 3, H, W), or images (N, 3, H, W).

        Returns:
            ClipFeatures: ``features`` (B, D), attention ``scores`` (B, T) and ``weights`` (B, T).

        Examples::
            >>> import torch
            >>> model = VideoReID(depth=18).eval()
            >>> model.embed(torch.rand(2, 4, 3, 224, 112)).weights.shape
            torch.Size([2, 4])
        """
        return self._after_neck(self.aggregation(self.featuremaps(clips)))

    def forward(self, clips: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Give features in eval mode, and what ``loss`` needs in training."""
        features, scores, _ = self.embed(clips)
        if not self.training:
            return features
        normed = self.bottleneck(features) if self.feature == "before" else features  # (B, D)
        logits: Tensor = self.classifier(normed)  # (B, K)
        if self.loss == "softmax":
            return logits
        if self.loss == "triplet":
            return logits, features
        return logits, features, scores
