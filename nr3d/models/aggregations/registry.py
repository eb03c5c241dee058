"""The registry of aggregations, and the properties that they declare."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import TypeVar

import torch
from torch import nn

from nr3d.errors import RegistrationError
from nr3d.models.registered import Registered

AGGREGATIONS: Registered[Callable[[int], nn.Module]] = Registered("aggregation")
"""Aggregation classes by name; each is built with C, the number of channels of the maps."""

_Class = TypeVar("_Class", bound=type[nn.Module])

_NAME = "registered_as"
"""The class attribute that holds the name a class is registered under."""


def register_aggregation(name: str) -> Callable[[_Class], _Class]:
    """Register an aggregation, so that it can be built, saved, loaded and published by name.

    The class is a module that takes the number of channels C at construction and maps
    (B, T, C, h, w) to :class:`ClipFeatures`. Optionally, it has:

    - ``feature_dim``, D, the size of a clip feature if it is not C;
    - the two stages of :class:`TwoStages`; without them, frames wait for their clip as whole maps;
    - ``starts_from``, the names of other aggregations. A network may start from the whole weights
      of a network with one of these: not only the trunk, but also the neck, the classifier and the
      aggregation's tensors of the same names;
    - ``erasing_on``, what the erasing-attention loss is taken on: ``'scores'`` (default) or
      ``'weights'``;
    - ``on_maps``, the names of the layers that work on whole maps and therefore run in the trunk's
      precision in inference. Without it, the aggregation receives maps in float32;
    - ``attends``, True if its weights are learnt. Equal weights in every clip then mean that the
      attention has stopped working, which trainings and tests report.

    Args:
        name: the name, of letters, digits and underscores, as ``model.aggregation`` takes it.

    Raises:
        RegistrationError: if the name is invalid or taken, or the class already has another name.

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
    """Build an aggregation by name.

    Args:
        name: one of :data:`AGGREGATIONS`.
        channels: C, the number of channels of the trunk's feature map.

    Raises:
        KeyError: if the name is unknown; the message lists the known names.
    """
    return AGGREGATIONS.find(name)(channels)


def name_of(aggregation: nn.Module) -> str | None:
    """Return the name of an aggregation, or None if its own class is not registered."""
    name: str | None = vars(type(aggregation)).get(_NAME)
    return name


def feature_dim(aggregation: nn.Module, channels: int) -> int:
    """Return D, the size of the clip features of an aggregation of maps with C channels."""
    return int(getattr(aggregation, "feature_dim", channels))


def starts_from(aggregation: nn.Module) -> tuple[str, ...]:
    """Return the aggregations whose whole weights may start a network with this one."""
    return tuple(getattr(aggregation, "starts_from", ()))


def erasing_on(aggregation: nn.Module) -> str:
    """Return what the erasing-attention loss is taken on: ``'scores'`` or ``'weights'``.

    Raises:
        ValueError: if the aggregation declares something else.
    """
    found = getattr(aggregation, "erasing_on", "scores")
    if found not in ("scores", "weights"):
        raise ValueError(
            f"erasing_on of {type(aggregation).__name__} is {found!r}, expected 'scores' or "
            "'weights'"
        )
    return str(found)


def layers_on_maps(aggregation: nn.Module) -> list[nn.Module] | None:
    """Return the layers that run in the trunk's precision, or None if maps must be float32."""
    names = getattr(aggregation, "on_maps", None)
    return None if names is None else [aggregation.get_submodule(name) for name in names]


def attends(aggregation: object) -> bool:
    """Return whether the weights of an aggregation, or of a class of aggregations, are learnt."""
    return bool(getattr(aggregation, "attends", False))


def with_tensors(names: Collection[str], channels: int) -> str | None:
    """Return the first registered aggregation whose tensors have exactly these names.

    Args:
        names: names of tensors, as in an aggregation's own state dict.
        channels: C, the number of channels to build each aggregation with.
    """
    with torch.random.fork_rng(devices=[]):  # building must not disturb a run's random numbers
        for name in AGGREGATIONS:
            if set(build_aggregation(name, channels).state_dict()) == set(names):
                return name
    return None
