"""The video re-ID network: trunk, aggregation, neck and classifier."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import Tensor, nn

from nr3d.models.aggregations import ClipFeatures, build_aggregation, registry
from nr3d.models.aggregations.clip_features import WholeMaps, has_stages, parts_of_clips
from nr3d.models.heads import build_head
from nr3d.models.trunks import FrameTrunk
from nr3d.models.trunks.registry import is_frame_wise
from nr3d.weights.entry import FEATURES, WeightsEntry
from nr3d.weights.layouts import Layout, register_layout

MARS_IDENTITIES = 625
"""Number of identities in MARS's training set: the default ``num_classes``."""

LOSSES = ("softmax", "triplet", "not3d")
"""The values of a model's ``loss``; see :class:`VideoReID`."""

register_layout(
    Layout(
        "nr3d",
        "nr3d's own models",
        ("bottleneck.running_mean|classifier.bias", "backbone.*"),
        ((r"((backbone|aggregation|bottleneck|classifier)\..+)", r"\1"),),
    )
)


class VideoReID(nn.Module):
    r"""Network that maps a clip to one feature.

    .. math::
        map_t = \mathrm{trunk}(frame_t), \quad f = \mathrm{aggregation}(map_1 \dots map_T), \quad
        logits = W \cdot \mathrm{BN}(f)

    The feature is :math:`\mathrm{BN}(f)`, or :math:`f` with ``feature='before'``. A trunk that is
    not frame-wise computes its maps from the whole clip:
    :math:`map_1 \dots map_{T'} = \mathrm{trunk}(frame_1 \dots frame_T)`.

    Reference:
        Alsehaim and Breckon. Not 3D Re-ID: Simple Single Stream 2D Convolution for Robust Video
        Re-identification. ICPR 2020. arXiv:2008.06318.

    Args:
        depth: the depth of the ResNet trunk: 18, 34, 50 (paper) or 101.
        num_classes: K, the number of identities to classify in training. Paper: 625 (MARS).
        loss: output in training mode: ``'softmax'``, ``'triplet'`` or ``'not3d'``.
        ibn: whether the ResNet trunk has IBN-a norms. Paper: True.
        aggregation: the name of an aggregation: ``'attention'`` (paper), ``'mean'``, or one that
            :func:`register_aggregation` added.
        feature: place where the feature is taken: ``'after'`` the neck (paper) or ``'before'`` it.
        head: the name of the head, one of :data:`nr3d.models.HEADS`: ``'neck'`` (paper) or
            ``'dropout'``.
        last_relu: False for a ResNet trunk whose last block is linear; see :class:`FrameTrunk`.
        trunk: a trunk to use instead of the ResNet, as described in :func:`register_trunk`.

    Attributes:
        backbone, aggregation, bottleneck, classifier: the four parts; any of them may be replaced
            by a module of the same shapes.
        num_classes: K, the number of identities that the classifier tells apart.
        channels: C, the number of channels of the trunk's maps.
        feature_dim: D, the size of a feature: C (512 for depths 18 and 34, else 2048) unless the
            aggregation says otherwise.
        feature: place where the feature is taken; loading weights made for the other place
            changes it.
        architecture: name of the architecture; None for a network built from its class.
        entry: index entry of the loaded weights, or what their file states: input size, frames
            per clip, normalisation; None if nothing is stated.

    Shape:
        - Input: clips :math:`(B, T, 3, H, W)`, or images :math:`(N, 3, H, W)` as clips of one
          frame.
        - Output in eval mode: features :math:`(B, D)`.
        - Output in training: ``'softmax'``: logits :math:`(B, K)`; ``'triplet'``: (logits,
          features); ``'not3d'``: (logits, features, attention scores :math:`(B, T)`), or the
          weights in place of the scores where the aggregation's ``erasing_on`` says so.

    Raises:
        KeyError: if ``loss``, ``aggregation``, ``feature`` or ``head`` is unknown; the message
            lists the choices.
        ValueError: if neither or both of ``depth`` and ``trunk`` are given, or an input does not
            have 4 or 5 dimensions and 3 channels.

    Examples:
        >>> import torch
        >>> model = VideoReID(depth=18, num_classes=10, loss='not3d').eval()
        >>> model(torch.rand(2, 4, 3, 224, 112)).shape
        torch.Size([2, 512])
    """

    def __init__(
        self,
        depth: int | None = None,
        num_classes: int = MARS_IDENTITIES,
        loss: str = "softmax",
        ibn: bool = True,
        aggregation: str = "attention",
        feature: str = "after",
        last_relu: bool = True,
        *,
        head: str = "neck",
        trunk: nn.Module | None = None,
    ) -> None:
        if loss not in LOSSES:
            raise KeyError(f"Unsupported loss: {loss!r}. Must be one of {list(LOSSES)}")
        if feature not in FEATURES:
            raise KeyError(f"Unknown feature: {feature!r}. Must be one of {list(FEATURES)}")
        if (depth is None) == (trunk is None):
            raise ValueError(
                f"depth is {depth} and trunk {trunk and type(trunk).__name__}, expected one of them"
            )
        super().__init__()
        self.loss = loss
        self.feature = feature
        self.architecture: str | None = None
        self.entry: WeightsEntry | None = None
        chosen: Any = FrameTrunk(depth, ibn, last_relu) if depth is not None else trunk
        self.backbone: nn.Module = chosen
        self.channels: int = chosen.channels
        self.aggregation = build_aggregation(aggregation, self.channels)
        self.feature_dim: int = registry.feature_dim(self.aggregation, self.channels)
        self.num_classes = num_classes
        self.bottleneck, self.classifier = build_head(head, self.feature_dim, num_classes)

    @property
    def frame_wise(self) -> bool:
        """Whether the trunk processes each frame independently, rather than whole clips."""
        return is_frame_wise(self.backbone)

    @property
    def aggregation_name(self) -> str | None:
        """The name of the aggregation; None if it is not registered."""
        return registry.name_of(self.aggregation)

    @property
    def attends(self) -> bool:
        """Whether the weights of the frames are learnt, so that they should not all be equal."""
        return registry.attends(self.aggregation)

    @property
    def starts_from(self) -> tuple[str, ...]:
        """Other aggregations whose whole weights, not only the trunk's, may start the network."""
        return registry.starts_from(self.aggregation)

    @property
    def erasing_on(self) -> str:
        """What the erasing-attention loss is taken on: ``'scores'`` or ``'weights'``."""
        return registry.erasing_on(self.aggregation)

    def aggregation_with(self, tensors: Collection[str]) -> str | None:
        """Return the name of the registered aggregation that has exactly these tensors.

        If several match, the first registered one is returned; if none does, None.

        Args:
            tensors: names of tensors, as in the state dict of an aggregation; the mean has none.

        Examples:
            >>> VideoReID(18).aggregation_with([])
            'mean'
        """
        return registry.with_tensors(tensors, self.channels)

    def layers_on_maps(self) -> list[nn.Module]:
        """Return the layers after the trunk that run in its precision in inference."""
        return registry.layers_on_maps(self.aggregation) or []

    def featuremaps(self, clips: Tensor) -> Tensor:
        """Return the trunk's feature map of every frame, (B, T, C, h, w).

        Args:
            clips: clips (B, T, 3, H, W), or images (N, 3, H, W) as clips of one frame.

        Returns:
            Tensor: (B, T, C, h, w). A trunk that is not frame-wise returns (B, T', C, h, w), or
            whatever its aggregation takes.
        """
        if clips.dim() == 4:
            clips = clips.unsqueeze(1)  # an image is a clip of one frame
        if clips.dim() != 5 or clips.shape[2] != 3:
            raise ValueError(
                f"input has shape {tuple(clips.shape)}, expected clips (B, T, 3, H, W) "
                "or images (N, 3, H, W)"
            )
        if not self.frame_wise:
            mixed: Tensor = self.backbone(clips)  # (B, T', C, h, w)
            return mixed
        maps: Tensor = self.backbone(clips.flatten(0, 1))  # (B·T, C, h, w)
        return maps.view(*clips.shape[:2], *maps.shape[1:])  # (B, T, C, h, w)

    def of_frames(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Compute what clips need of each frame: the first, costly part of :meth:`embed`.

        Args:
            frames: frames (N, 3, H, W) of any number of clips.

        Returns:
            tuple of Tensor: the input of :meth:`of_clips`, (N, ...) each.

        Raises:
            ValueError: if the trunk is not frame-wise.

        Examples:
            >>> import torch
            >>> model = VideoReID(depth=18).eval()
            >>> where, pooled = model.of_frames(torch.rand(3, 3, 224, 112))
            >>> model.of_clips(where[None], pooled[None]).features.shape
            torch.Size([1, 512])
        """
        if not self.frame_wise:
            raise ValueError(
                f"{type(self.backbone).__name__} mixes the frames of a clip, expected a frame-wise "
                "trunk: call parts_of with whole clips."
            )
        parts: tuple[Tensor, ...] = self._stages.of_frames(self._for_stages(self.backbone(frames)))
        return parts

    def parts_of(self, clips: Tensor) -> tuple[Tensor, ...]:
        """Compute the input of :meth:`of_clips` from whole clips, with any trunk.

        Args:
            clips: clips (B, T, 3, H, W), or images (N, 3, H, W).

        Returns:
            tuple of Tensor: (B, T', ...) each; T' is T for a frame-wise trunk.
        """
        return parts_of_clips(self.aggregation, self._for_stages(self.featuremaps(clips)))

    def of_clips(self, *parts: Tensor) -> ClipFeatures:
        """Return the features of clips from the output of :meth:`of_frames`, (B, T, ...) each."""
        return self._after_neck(self._stages.of_clips(*parts))

    @property
    def _stages(self) -> Any:
        """The aggregation as two stages, whether or not it has them itself."""
        aggregation = self.aggregation
        return aggregation if has_stages(aggregation) else WholeMaps(aggregation)

    def _for_stages(self, maps: Tensor) -> Tensor:
        """Return maps in the precision of the aggregation's first stage."""
        return maps.float() if registry.layers_on_maps(self.aggregation) is None else maps

    def _after_neck(self, aggregated: ClipFeatures) -> ClipFeatures:
        if self.feature == "before":
            return aggregated
        return aggregated._replace(features=self.bottleneck(aggregated.features))

    def embed(self, clips: Tensor) -> ClipFeatures:
        """Return the features with their attention scores and weights.

        Args:
            clips: clips (B, T, 3, H, W), or images (N, 3, H, W).

        Returns:
            ClipFeatures: ``features`` (B, D), attention ``scores`` (B, T) and ``weights`` (B, T).

        Examples:
            >>> import torch
            >>> model = VideoReID(depth=18).eval()
            >>> model.embed(torch.rand(2, 4, 3, 224, 112)).weights.shape
            torch.Size([2, 4])
        """
        aggregated: ClipFeatures = self.aggregation(self.featuremaps(clips))
        frames = clips.shape[1] if clips.dim() == 5 else 1
        return self._after_neck(aggregated).over_frames(frames)

    def forward(self, clips: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return the features in eval mode, and the inputs of ``loss`` in training."""
        features, scores, weights = self.embed(clips)
        if not self.training:
            return features
        normed = self.bottleneck(features) if self.feature == "before" else features  # (B, D)
        logits: Tensor = self.classifier(normed)  # (B, K)
        if self.loss == "softmax":
            return logits
        if self.loss == "triplet":
            return logits, features
        return logits, features, weights if self.erasing_on == "weights" else scores
