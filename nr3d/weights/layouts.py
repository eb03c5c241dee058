"""How published files name their tensors, and a table for each that gives them our names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from nr3d.errors import WeightsError
from nr3d.weights.states import held_as


@dataclass(frozen=True)
class Layout:
    """One way to name a video model's tensors.

    Args:
        name: what the index calls it.
        of: whose files have it.
        signature: keys that every file of it has and no other layout's has together.
        rules: patterns of whole keys, each with our name for it, as :func:`re.sub` takes it.
        unused: patterns of whole keys that our models have no place for, each with what they are.
        trunk_only: True where a file holds a trunk and nothing of a video model.
        last_relu: False where the trunk's last block is linear, so that the same tensors are
            another network in a trunk that has its ReLUs.
    """

    name: str
    of: str
    signature: tuple[str, ...]
    rules: tuple[tuple[str, str], ...]
    unused: tuple[tuple[str, str], ...] = ()
    trunk_only: bool = False
    last_relu: bool = True

    def matches(self, state: Mapping[str, Tensor]) -> bool:
        """Tell whether a state dict is named so."""
        return all(key in state for key in self.signature)

    def rename(self, key: str) -> str | None:
        """Give our name of a key, or None if the table has none."""
        for pattern, name in self.rules:
            if re.fullmatch(pattern, key):
                return re.sub(f"^{pattern}$", name, key)
        return None

    def reason_unused(self, key: str) -> str | None:
        """Say what a key is that our models have no place for, or None."""
        for pattern, reason in self.unused:
            if re.fullmatch(pattern, key):
                return reason
        return None


_ATTENTION = (
    (r"attention_conv\.(.+)", r"aggregation.spatial.\1"),
    (r"attention_tconv\.(.+)", r"aggregation.temporal.\1"),
)

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout(
            "nr3d",
            "nr3d's own models",
            ("backbone.conv1.weight",),
            ((r"((backbone|aggregation|bottleneck|classifier)\..+)", r"\1"),),
        ),
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
        ),
        Layout(
            "not3d",
            "the Not 3D Re-ID authors' code",
            ("base.conv1.weight",),
            (
                (r"base\.(.+)", r"backbone.\1"),
                *_ATTENTION,
                (r"((bottleneck|classifier)\..+)", r"\1"),
            ),
            ((r"class_\d+\..+", "a further classifier, for another training set"),),
        ),
        Layout(
            "vprt",
            "the code of Video Person Re-ID: Fantastic Techniques",
            ("base.0.weight", "base.4.0.conv1.weight"),
            (
                (r"base\.0\.(.+)", r"backbone.conv1.\1"),
                (r"base\.1\.(.+)", r"backbone.bn1.\1"),
                (r"base\.4\.(.+)", r"backbone.layer1.\1"),
                (r"base\.5\.(.+)", r"backbone.layer2.\1"),
                (r"base\.6\.(.+)", r"backbone.layer3.\1"),
                (r"base\.7\.(.+)", r"backbone.layer4.\1"),
                *_ATTENTION,
                (r"classifier\.bn\.(.+)", r"bottleneck.\1"),
                (r"classifier\.classifier\.(.+)", r"classifier.\1"),
            ),
        ),
        Layout(
            "vkd",
            "the code of Multiple Views Knowledge Distillation",
            ("backbone.features_layers.0.0.weight",),
            (
                (r"backbone\.features_layers\.0\.0\.(.+)", r"backbone.conv1.\1"),
                (r"backbone\.features_layers\.0\.1\.(.+)", r"backbone.bn1.\1"),
                (r"backbone\.features_layers\.([1-4])\.0\.(.+)", r"backbone.layer\1.\2"),
                (r"classifier\.bottleneck\.(.+)", r"bottleneck.\1"),
                (r"classifier\.classifier\.(.+)", r"classifier.\1"),
            ),
            last_relu=False,
        ),
    )
}
"""Layout name to its table."""


def recognise(state: Mapping[str, Tensor]) -> Layout | None:
    """Give the layout of a state dict, or None if it is none of :data:`LAYOUTS`."""
    for layout in LAYOUTS.values():
        if layout.matches(state):
            return layout
    return None


def network_in(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor] | None, path: str | Path
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Take a network out of a state dict that holds it as a part, such as Lightning's ``model.``.

    Args:
        state: names to tensors.
        own: of the model that it is for, if it is not one of ours.
        path: the file, for messages.

    Returns:
        tuple: the network's tensors without the prefix, and the names of all others, each with the
        reason why it is not used. The state dict as it is if its names are known already, or the
        network is not found in it.

    Raises:
        WeightsError: if two networks are found.
    """
    if set(state) & set(own or ()) or (own is None and recognise(state) is not None):
        return dict(state), {}
    anchors = [layout.signature[0] for layout in LAYOUTS.values()] if own is None else list(own)
    found = held_as(state, anchors[:20])
    if len(found) > 1:
        raise WeightsError(
            f"{path} holds {len(found)} networks, as {', '.join(found[:4])}: save the state dict "
            "of the one that is wanted."
        )
    if not found:
        return dict(state), {}
    (prefix,) = found
    why = f"not a part of the network, which is {prefix.rstrip('.')} in the file"
    outside = {key: why for key in state if not key.startswith(prefix)}
    inside = {key.removeprefix(prefix): value for key, value in state.items()}
    return {key: inside[key] for key in inside if key not in outside}, outside
