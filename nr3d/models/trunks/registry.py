"""The trunks by name, and what each says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import nn

from nr3d.models.registered import Registered

TRUNKS: Registered[type[nn.Module]] = Registered("trunk")
"""Name of a trunk to its class."""

_Class = TypeVar("_Class", bound=type[nn.Module])


def register_trunk(name: str) -> Callable[[_Class], _Class]:
    """Register a trunk, so that architectures name it.

    The class is a module that is built with the options of an architecture and has:

    - ``channels``, an attribute: C, the number of channels of its feature maps;
    - ``frame_wise``: True (the default, where it is not said) for a trunk from frames
      (N, 3, H, W) to their maps (N, C, h, w); False for one that mixes the frames of a clip, from
      clips (B, T, 3, H, W) to maps (B, T', C, h, w), or to what the aggregation takes;
    - ``tensors_by``, names of the options that its tensors depend on, where others change only
      what is computed with them: trunks that are alike in these take each other's weights.

    Args:
        name: the name.

    Raises:
        RegistrationError: if the name belongs to something else.
    """

    def register(cls: _Class) -> _Class:
        TRUNKS.add(name, cls)
        return cls

    return register


def is_frame_wise(trunk: nn.Module) -> bool:
    """Tell whether a trunk takes frames, each by itself, and not whole clips."""
    return bool(getattr(trunk, "frame_wise", True))


def tensors_of(name: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return what the tensors of a trunk depend on, for comparison with another trunk's.

    Args:
        name: the name of the trunk.
        options: arguments that it is built with.
    """
    by = getattr(TRUNKS.find(name), "tensors_by", None)
    return name, {key: value for key, value in options.items() if by is None or key in by}
