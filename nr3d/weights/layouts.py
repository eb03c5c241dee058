"""How published files name their tensors, and a table for each that translates to our names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from nr3d import host
from nr3d.errors import RegistrationError, WeightsError
from nr3d.weights.states import held_as


@dataclass(frozen=True)
class Layout:
    """One way to name a video model's tensors.

    Args:
        name: the name that the index calls it by.
        of: origin of the files that have it.
        signature: keys that every file of this layout has, and no other layout's has together. One
            that ends in ``*`` stands for any key that starts so; the first is a whole key.
        rules: patterns of whole keys, each with our name for it, as :func:`re.sub` takes it.
        unused: patterns of whole keys that our models have no place for, each with what they are.
        trunk_only: True where a file holds a trunk and nothing of a video model.
        last_relu: False where the trunk's last block is linear, so that the same tensors are
            another network in a trunk that has its ReLUs.
        aggregation: the name of the aggregation that is meant where a file has no tensors of one;
            None if that is not known.
    """

    name: str
    of: str
    signature: tuple[str, ...]
    rules: tuple[tuple[str, str], ...]
    unused: tuple[tuple[str, str], ...] = ()
    trunk_only: bool = False
    last_relu: bool = True
    aggregation: str | None = None

    def matches(self, state: Mapping[str, Tensor]) -> bool:
        """Tell whether a state dict is named so."""
        return all(
            any(key.startswith(sign[:-1]) for key in state) if sign.endswith("*") else sign in state
            for sign in self.signature
        )

    def rename(self, key: str) -> str | None:
        """Return our name of a key, or None if the table has none."""
        for pattern, name in self.rules:
            if re.fullmatch(pattern, key):
                return re.sub(f"^{pattern}$", name, key)
        return None

    def reason_unused(self, key: str) -> str | None:
        """Return what a key is that our models have no place for, or None if it is not known."""
        for pattern, reason in self.unused:
            if re.fullmatch(pattern, key):
                return reason
        return None


LAYOUTS: dict[str, Layout] = {}
"""Layout name to its table. The architectures that they belong to register them."""


def register_layout(layout: Layout) -> None:
    """Make a layout known, so that files of it are recognised and loaded.

    Raises:
        RegistrationError: if there is another layout of that name.
    """
    if LAYOUTS.get(layout.name, layout) != layout:
        raise RegistrationError(
            f"There already is a layout {layout.name!r}, of {LAYOUTS[layout.name].of}: choose "
            "another name."
        )
    LAYOUTS[layout.name] = layout


def recognise(state: Mapping[str, Tensor]) -> Layout | None:
    """Return the layout of a state dict, or None if it is none of :data:`LAYOUTS`."""
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
        own: the state dict of the model that it is for, if it is not one of ours.
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


# The registration in torchreid imports the architectures, whose families fill LAYOUTS.
_HOST = host.torchreid
