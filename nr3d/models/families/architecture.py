"""Architectures: named networks, as torchreid's model factory builds them."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from nr3d.errors import RegistrationError
from nr3d.models.aggregations import INITIALISATIONS, kaiming_
from nr3d.models.registered import Registered
from nr3d.models.trunks.registry import TRUNKS, built_for, tensors_of
from nr3d.models.video_reid import MARS_IDENTITIES, VideoReID
from nr3d.weights import WeightsEntry, entry_of, load, named_pretrained


@dataclass(frozen=True)
class Architecture:
    """A registered network: its parts and its metadata.

    Args:
        name: the name that torchreid's ``build_model`` takes.
        trunk: the name of its trunk, one of :data:`nr3d.models.TRUNKS`.
        trunk_options: arguments of the trunk.
        aggregation: the name of its default aggregation, one of :data:`nr3d.models.AGGREGATIONS`.
        feature: place where its feature is taken: ``'after'`` the neck's normalisation or
            ``'before'``.
        summary: one-line description for ``nr3d models``.
        size: the number of parameters with MARS's 625 identities and the default aggregation;
            None to count them.
        head: the name of its head, one of :data:`nr3d.models.HEADS`.
        recipe: the configuration that it is trained by: a shipped name, or a YAML file; empty if
            there is none.
    """

    name: str
    trunk: str = "resnet"
    trunk_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    aggregation: str = "attention"
    feature: str = "after"
    summary: str = ""
    size: int | None = None
    head: str = "neck"
    recipe: str = ""

    @functools.cached_property
    def parameters(self) -> int:
        """The number of parameters with 625 identities and the default aggregation."""
        if self.size is not None:
            return self.size
        return sum(parameter.numel() for parameter in self(pretrained=False).parameters())

    def has_trunk_of(self, other: Architecture) -> bool:
        """Return whether both trunks have the same tensors, so that one may start the other."""
        mine, theirs = (tensors_of(one.trunk, one.trunk_options) for one in (self, other))
        return mine == theirs

    def __call__(
        self,
        num_classes: int = MARS_IDENTITIES,
        loss: str = "softmax",
        pretrained: bool | str | Path = True,
        use_gpu: bool = True,
        aggregation: str | None = None,
        attention_init: str = "default",
        frames: int | None = None,
        frame_size: tuple[int, int] | None = None,
    ) -> VideoReID:
        """Build the network.

        Args:
            num_classes: K, the number of identities to classify in training. Default is 625, as
                in MARS.
            loss: ``'softmax'``, ``'triplet'`` or ``'not3d'``: output in training mode.
            pretrained: ``True`` to load the trunk's ImageNet weights; a tag such as ``'mars'``, a
                full name such as ``'vkd_resnet50.mars'`` or the path of a file to load those;
                ``False`` for random initialisation.
            use_gpu: torchreid's argument; the network is always built on the CPU.
            aggregation: the name of an aggregation. Default is that of the weights, if they say
                so, else the architecture's own.
            attention_init: initial values of the aggregation's layers: ``'default'``, PyTorch's
                own, or ``'kaiming'``, as :func:`kaiming_` draws them. Weights that are loaded into
                the aggregation replace them.
            frames: T, the number of frames of a clip, for a trunk that is built for one. Default
                is that of the weights, else the architecture's own.
            frame_size: the height and width of the frames, in pixels, for a trunk that is built
                for them. Default is that of the weights, else the architecture's own.

        Raises:
            KeyError: if ``loss``, ``aggregation`` or ``attention_init`` is unknown; the message
                lists the choices.
            WeightsError: if the weights cannot be found, downloaded, verified or loaded.
        """
        if attention_init not in INITIALISATIONS:
            raise KeyError(
                f"Unknown attention_init: {attention_init!r}. Must be one of "
                f"{list(INITIALISATIONS)}"
            )
        named = named_pretrained(self.name, pretrained)
        given = aggregation is not None and frames is not None and frame_size is not None
        stated = None if named is None or given else self._stated(named)  # reads the file
        if stated is not None:
            aggregation = aggregation or stated.aggregation
            frames, frame_size = frames or stated.frames, frame_size or stated.input_size
        model = VideoReID(
            num_classes=num_classes,
            loss=loss,
            aggregation=self.aggregation if aggregation is None else aggregation,
            feature=self.feature,
            head=self.head,
            trunk=self._build_trunk(frames, frame_size),
        )
        model.architecture = self.name
        if attention_init == "kaiming":
            kaiming_(model.aggregation)
        if named is not None:
            load(model, named)
        return model

    def _stated(self, named: str) -> WeightsEntry | None:
        """Return what weights state about themselves if they are of a network of this name."""
        entry = entry_of(named)
        if entry is None or entry.architecture != self.name or entry.frames is None:
            return None  # an image network's training says nothing of clips
        return entry

    def _build_trunk(self, frames: int | None, frame_size: tuple[int, int] | None) -> nn.Module:
        kind = TRUNKS.find(self.trunk)
        height, width = frame_size or (None, None)
        given = {"frames": frames, "height": height, "width": width}
        told = {key: given[key] for key in built_for(kind) if given[key] is not None}
        return kind(**{**self.trunk_options, **told})


ARCHITECTURES: Registered[Architecture] = Registered("architecture")
"""Architectures by name; calling one builds its network."""


def register_architecture(
    name: str,
    trunk: str,
    trunk_options: Mapping[str, Any] | None = None,
    *,
    aggregation: str = "attention",
    feature: str = "after",
    head: str = "neck",
    summary: str = "",
    parameters: int | None = None,
    recipe: str = "",
) -> Architecture:
    """Register a network, here and with torchreid's ``build_model``.

    Args:
        name: the name, of letters, digits and underscores.
        trunk: the name of its trunk, one of :data:`nr3d.models.TRUNKS`.
        trunk_options: arguments of the trunk.
        aggregation: the name of its default aggregation, one of :data:`nr3d.models.AGGREGATIONS`.
        feature: place where its feature is taken: ``'after'`` the neck's normalisation or
            ``'before'``.
        head: the name of its head, one of :data:`nr3d.models.HEADS`.
        summary: one-line description for ``nr3d models``.
        parameters: the number of parameters with MARS's 625 identities; counted if omitted.
        recipe: the configuration that it is trained by: a shipped name, or a YAML file.

    Returns:
        Architecture: the registered architecture.

    Raises:
        RegistrationError: if the name is invalid, or taken in torchreid or nr3d.

    Examples:
        >>> import nr3d, torchreid
        >>> options = {"depth": 18, "ibn": False}
        >>> mine = nr3d.models.register_architecture("my_resnet18", "resnet", options)
        >>> torchreid.models.build_model("my_resnet18", 5, pretrained=False).feature_dim
        512
        >>> nr3d.models.ARCHITECTURES.remove("my_resnet18")  # so that no other example sees it
    """
    if not re.fullmatch(r"[A-Za-z0-9_]+", name):
        raise RegistrationError(
            f"{name!r} cannot be the name of an architecture, expected letters, digits and "
            "underscores."
        )
    options = dict(trunk_options or {})
    architecture = Architecture(
        name, trunk, options, aggregation, feature, summary, parameters, head, recipe
    )
    ARCHITECTURES.add(name, architecture)
    return architecture


def register_depths(
    family: str, trunk: str, summary: str, parameters: Mapping[int, int], **options: Any
) -> None:
    """Register the networks of a family, ``family_resnet50`` and so on.

    Args:
        family: the name of the family.
        trunk: the name of their trunk, which takes the option ``depth``.
        summary: one-line description, with ``{depth}`` for the depth.
        parameters: the number of parameters with MARS's 625 identities, by depth.
        **options: the options of :func:`register_architecture`; ``trunk_options`` beside the depth.
    """
    trunk_options = options.pop("trunk_options", {})
    for depth, size in parameters.items():
        register_architecture(
            f"{family}_resnet{depth}",
            trunk,
            {"depth": depth, **trunk_options},
            summary=summary.format(depth=depth),
            parameters=size,
            **options,
        )
