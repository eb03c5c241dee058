"""The registry of trunks, and the properties that they declare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import nn

from nr3d.models.registered import Registered

TRUNKS: Registered[type[nn.Module]] = Registered("trunk")
"""Trunk classes by name."""

_Class = TypeVar("_Class", bound=type[nn.Module])


def register_trunk(name: str) -> Callable[[_Class], _Class]:
    """Register a trunk, so that architectures can refer to it by name.

    The class is a module that takes an architecture's trunk options at construction and has:

    - ``channels``: C, the number of channels of its feature maps;
    - ``frame_wise``, optionally: True (default) if it maps frames (N, 3, H, W) to feature maps
      (N, C, h, w); False if it mixes the frames of a clip and maps clips (B, T, 3, H, W) to feature
      maps (B, T', C, h, w), or to whatever the aggregation takes;
    - ``built_for``, optionally: those of the options ``frames``, ``height`` and ``width`` that it
      takes to be built for a clip length or a frame size;
    - ``layout``, optionally: a :class:`nr3d.weights.Layout` of the files of its own network;
    - ``added``, optionally: the name of its part that weights of the plain trunk do not have. It
      keeps its initial values when such weights are loaded;
    - ``tensors_by``, optionally: the names of the options that its tensors depend on. Trunks that
      agree on these can load each other's weights; other options change only the computation.

    Args:
        name: the name of the trunk.

    Raises:
        RegistrationError: if the name is taken.
    """

    def register(cls: _Class) -> _Class:
        TRUNKS.add(name, cls)
        return cls

    return register


def is_frame_wise(trunk: nn.Module) -> bool:
    """Return whether a trunk processes each frame independently, rather than whole clips."""
    return bool(getattr(trunk, "frame_wise", True))


def built_for(trunk: object) -> tuple[str, ...]:
    """Return the options by which a trunk, or a class of trunks, is built for its input."""
    return tuple(getattr(trunk, "built_for", ()))


def tensors_of(name: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return what the tensors of a trunk depend on, to compare it with another trunk.

    Args:
        name: the name of the trunk.
        options: arguments of the trunk.
    """
    by = getattr(TRUNKS.find(name), "tensors_by", None)
    return name, {key: value for key, value in options.items() if by is None or key in by}
