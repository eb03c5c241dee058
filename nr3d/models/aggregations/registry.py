"""The aggregations by name, and what each says of itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import TypeVar

import torch
from torch import nn

from nr3d.errors import RegistrationError
from nr3d.models.registered import Registered

AGGREGATIONS: Registered[Callable[[int], nn.Module]] = Registered("aggregation")
"""Name of an aggregation to its class, which is built with C, the channels of the maps."""

_Class = TypeVar("_Class", bound=type[nn.Module])

_NAME = "registered_as"
"""The attribute of a class that holds the name which it is registered under."""


def register_aggregation(name: str) -> Callable[[_Class], _Class]:
    """Register an aggregation, so that it is built, saved, loaded and published by its name.

    The class is a module that is built with the number of channels C and maps (B, T, C, h, w) to
    :class:`ClipFeatures`. Beside that it may have:

    - the two stages of :class:`TwoStages`, without which frames wait for their clip as whole maps;
    - ``starts_from``, names of other aggregations: a network may start from the whole weights of
      a network with one of these, from its neck, its classifier and those of its aggregation's
      tensors that have the same names, and not from its trunk alone;
    - ``on_maps``, names of the layers that work on whole maps and so compute in the trunk's
      precision in inference. Without it the aggregation is given maps in float32.

    Args:
        name: the name, of letters, digits and underscores: what ``not3d.aggregation`` takes.

    Raises:
        RegistrationError: if the name cannot be used or belongs to something else, or the class
            has another name already.

    Examples:
        >>> from nr3d.models import ClipFeatures
        >>> @register_aggregation("last_frame")
        ... class LastFrame(nn.Module):
        ...     starts_from = ("mean",)
        ...
        ...     def __init__(self, channels: int) -> None:
        ...         super().__init__()
        ...
        ...     def forward(self, maps: torch.Tensor) -> ClipFeatures:
        ...         weights = maps.new_zeros(maps.shape[:2])
        ...         weights[:, -1] = 1
        ...         return ClipFeatures(maps[:, -1].mean((2, 3)), weights, weights)
        >>> from nr3d.models import VideoReID
        >>> VideoReID(18, aggregation="last_frame").aggregation_name
        'last_frame'
        >>> AGGREGATIONS.remove("last_frame")  # so that no other example sees it
    """
    if not re.fullmatch(r"[A-Za-z0-9_]{1,100}", name) or name == "default":
        raise RegistrationError(
            f"{name!r} cannot be the name of an aggregation, expected letters, digits and "
            "underscores, and not 'default', which stands for a network's own."
        )

    def register(cls: _Class) -> _Class:
        present = vars(cls).get(_NAME, name)
        if present != name:
            raise RegistrationError(
                f"{cls.__name__} is registered as {present!r} already: register a class derived "
                f"from it as {name!r}."
            )
        AGGREGATIONS.add(name, cls)
        setattr(cls, _NAME, name)
        return cls

    return register


def build_aggregation(name: str, channels: int) -> nn.Module:
    """Build an aggregation by its name.

    Args:
        name: one of :data:`AGGREGATIONS`.
        channels: C, the number of channels of the trunk's feature map.

    Raises:
        KeyError: if there is no such name; the message lists the names.
    """
    return AGGREGATIONS.find(name)(channels)


def name_of(aggregation: nn.Module) -> str | None:
    """Return the name of an aggregation; None if its own class was not registered."""
    name: str | None = vars(type(aggregation)).get(_NAME)
    return name


def starts_from(aggregation: nn.Module) -> tuple[str, ...]:
    """Return the names of those whose whole weights may start a network with an aggregation."""
    return tuple(getattr(aggregation, "starts_from", ()))


def layers_on_maps(aggregation: nn.Module) -> list[nn.Module] | None:
    """Return the layers that compute in the trunk's precision; None if it takes float32 maps."""
    names = getattr(aggregation, "on_maps", None)
    return None if names is None else [aggregation.get_submodule(name) for name in names]


def with_tensors(names: Collection[str], channels: int) -> str | None:
    """Return the first registered aggregation that has just the tensors of these names.

    Args:
        names: names of tensors, as an aggregation's own state dict has them.
        channels: C, the number of channels to build each with.
    """
    with torch.random.fork_rng(devices=[]):  # what is built here is not part of any run
        for name in AGGREGATIONS:
            if set(build_aggregation(name, channels).state_dict()) == set(names):
                return name
    return None
