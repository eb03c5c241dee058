"""The methods of the zoo: their networks, and what was reported of them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nr3d.config import load_config, read_yaml
from nr3d.errors import ConfigError
from nr3d.models import Architecture, architecture_of, find_architecture

_FACTS = Path(__file__).with_name("methods.yaml")

SMALLER = 18
"""Depth of the smaller networks of the methods."""


@dataclass(frozen=True)
class Reported:
    """Figures that a paper reports.

    Args:
        dataset: the name of the dataset.
        rank1: the reported rank-1, 0..1.
        mAP: the reported mAP, 0..1; None if it is not reported.
        protocol: the protocol of the evaluation, one of ``nr3d.metrics.PROTOCOLS``.
        remark: a remark on how the figures came about; empty if there is none.
    """

    dataset: str
    rank1: float
    mAP: float | None
    protocol: str
    remark: str = ""


@dataclass(frozen=True)
class Method:
    """A method: the network that stands for it, and what is known of it.

    Args:
        key: the short name of the method.
        title: its name in tables.
        network: the registered name of its network.
        small: the registered name of a smaller network of the same kind, for small machines.
        venue: the conference or journal, with the year; empty if it was not published.
        note: the differences from the published method; empty if there are none.
        weights: the place and the terms of its weights.
        counts: the artefact of the paper's estimate of its memory: ``'trunk'`` if the output of the
            trunk is counted twice, ``'classifier'`` for a classifier with two outputs; empty for
            none.
        reported: the figures that its authors report.
    """

    key: str
    title: str
    network: str
    small: str = ""
    venue: str = ""
    note: str = ""
    weights: str = "none published"
    counts: str = ""
    reported: tuple[Reported, ...] = ()

    @property
    def architecture(self) -> Architecture:
        """The registered network."""
        return architecture_of(self.network)

    @functools.cached_property
    def recipe(self) -> Any:
        """The configuration that it is trained by; its defaults if it names none."""
        return load_config(self.architecture.recipe or "mars", ["model.name", self.network])


def methods() -> list[Method]:
    """Return the methods of the paper's results table, in its order.

    Examples:
        >>> [method.key for method in methods()][:3]
        ['not3d', 'vprt', 'gltr']
    """
    return [_method(key, facts) for key, facts in read_yaml(_FACTS).items()]


def method_of(name: str) -> Method:
    """Return a method by its key, or by the name of any registered network.

    Args:
        name: the key of a method, the name of its network, or the name of any other network, of
            which nothing else is known.

    Raises:
        ConfigError: if there is neither; the message lists the keys.

    Examples:
        >>> method_of("gltr").network, method_of("vkd_resnet50").title
        ('gltr_resnet50', 'vkd_resnet50')
    """
    known = methods()
    for method in known:
        if name in (method.key, method.network):
            return method
    architecture = find_architecture(name)
    if architecture is not None:
        return Method(name, name, name, name, note=architecture.summary)
    raise ConfigError(
        f"There is no method {name!r}, expected one of {', '.join(m.key for m in known)}, or the "
        "name of a network from `nr3d models`"
    )


def _method(key: str, facts: Mapping[str, Any]) -> Method:
    reported = tuple(
        Reported(
            each["dataset"],
            each["rank-1"],
            each.get("mAP"),
            each["protocol"],
            each.get("remark", ""),
        )
        for each in facts["reported"]
    )
    return Method(key, **{**facts, "reported": reported})
