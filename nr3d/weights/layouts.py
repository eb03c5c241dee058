"""Layouts: the tensor names of published files, and their translation to our names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from nr3d.errors import RegistrationError, WeightsError

# Its registration imports the architectures, whose families fill LAYOUTS.
from nr3d.host import torchreid  # noqa: F401
from nr3d.weights.states import held_as


@dataclass(frozen=True)
class Layout:
    """One way to name a video model's tensors.

    Args:
        name: the name of the layout in the index.
        of: the origin of files with this layout.
        signature: keys that every file of this layout has. A key that ends in ``*`` stands for any
            key with that prefix, and one of several keys with ``|`` between them is enough; none
            of the first may end in ``*``. If a file has the keys of several layouts, it has the
            one with the most.
        rules: patterns of complete keys, each with our name as :meth:`re.Match.expand` takes it.
        unused: patterns of complete keys that our models have no use for, each with what they are.
        trunk_only: True if files hold only a trunk, and no other part of a video model.
        last_relu: False if the trunk's last block is linear, so that the same tensors in a trunk
            with ReLUs would be a different network.
        aggregation: the name of the aggregation of these files' networks; None if their tensors
            tell.
        arrange: function from a file's tensors by name to those that the rules speak of, where
            ours are shaped or joined in another way.
    """

    name: str
    of: str
    signature: tuple[str, ...]
    rules: tuple[tuple[str, str], ...]
    unused: tuple[tuple[str, str], ...] = ()
    trunk_only: bool = False
    last_relu: bool = True
    aggregation: str | None = None
    arrange: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = dict

    def matches(self, state: Mapping[str, Tensor]) -> bool:
        """Return whether a state dict has this layout."""
        return all(
            any(_has(state, sign) for sign in alternatives.split("|"))
            for alternatives in self.signature
        )

    def rename(self, key: str) -> str | None:
        """Return our name for a key, or None if there is none."""
        for pattern, name in self.rules:
            if found := re.fullmatch(pattern, key):
                return found.expand(name)
        return None

    def reason_unused(self, key: str) -> str | None:
        """Return why our models have no use for a key, or None if it is not such a key."""
        for pattern, reason in self.unused:
            if re.fullmatch(pattern, key):
                return reason
        return None


def _has(state: Mapping[str, Tensor], sign: str) -> bool:
    """Return whether a state dict has a key, or one with a prefix that ends in ``*``."""
    if sign.endswith("*"):
        return any(key.startswith(sign[:-1]) for key in state)
    return sign in state


LAYOUTS: dict[str, Layout] = {}
"""Layouts by name, registered by the architectures that they belong to."""


def register_layout(layout: Layout) -> None:
    """Register a layout, so that its files are recognised and loaded.

    Raises:
        RegistrationError: if another layout has that name.
    """
    if LAYOUTS.get(layout.name, layout) != layout:
        raise RegistrationError(
            f"There already is a layout {layout.name!r}, of {LAYOUTS[layout.name].of}: choose "
            "another name."
        )
    LAYOUTS[layout.name] = layout


def recognise(state: Mapping[str, Tensor], own: Layout | None = None) -> Layout | None:
    """Return the layout of a state dict, or None if it is unknown.

    Args:
        state: tensors by name.
        own: the layout that a model's trunk brings; it comes before :data:`LAYOUTS`.
    """
    if own is not None and own.matches(state):
        return own
    matching = [layout for layout in LAYOUTS.values() if layout.matches(state)]
    return max(matching, key=lambda layout: len(layout.signature), default=None)


def network_in(
    state: Mapping[str, Tensor],
    own: Mapping[str, Tensor] | None,
    path: str | Path,
    layout: Layout | None = None,
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Extract a network from a larger state dict, such as Lightning's ``model.``.

    Args:
        state: tensors by name.
        own: the state dict of the model to load, if it is not one of ours.
        path: the file, for messages.
        layout: the layout that the model's trunk brings, if any.

    Returns:
        tuple: the network's tensors without their prefix, and the names of all other tensors, each
        with the reason why it is not used. If the names are already known, or no network is found,
        the state dict is returned unchanged.

    Raises:
        WeightsError: if more than one network is found.
    """
    if set(state) & set(own or ()) or (own is None and recognise(state, layout) is not None):
        return dict(state), {}
    known = [*LAYOUTS.values(), *([layout] if layout else [])]
    signs = (each.signature[0].split("|") for each in known)
    anchors = [key for keys in signs for key in keys] if own is None else list(own)[:20]
    found = held_as(state, anchors)
    if len(found) > 1:
        raise WeightsError(
            f"{path} holds {len(found)} networks, as {', '.join(found[:4])}: save the state dict "
            "of the one that you want."
        )
    if not found:
        return dict(state), {}
    (prefix,) = found
    why = f"not a part of the network, which is {prefix.rstrip('.')} in the file"
    outside = {key: why for key in state if not key.startswith(prefix)}
    inside = {key.removeprefix(prefix): value for key, value in state.items()}
    return {key: inside[key] for key in inside if key not in outside}, outside
