"""What a configuration key is: its values, what it changes, and what uses it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from nr3d.config.values import Kind, Text


class Scope(enum.Flag):
    """What a key changes; nothing of these is where, how fast and how visibly something is done."""

    MACHINE = 0
    STEPS = enum.auto()
    """What a training step makes of the weights, and so the weights that a run ends with."""
    WEIGHTS = enum.auto()
    """The weights that a run ends with alone: where it starts, how long it is."""
    FEATURES = enum.auto()
    """The features and labels that given weights give."""
    FIGURES = enum.auto()
    """The figures that given features give."""


class Command(enum.Flag):
    """What uses a key."""

    TRAIN = enum.auto()
    TEST = enum.auto()
    EXTRACT = enum.auto()
    FEATURES = enum.auto()
    """A test from a feature store."""

    def __str__(self) -> str:
        """Name the commands as they are called."""
        names = [_CALLED[one] for one in Command if one in self]
        return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


_CALLED = {
    Command.TRAIN: "nr3d train",
    Command.TEST: "nr3d test",
    Command.EXTRACT: "nr3d extract",
    Command.FEATURES: "nr3d test --features",
}


@dataclass(frozen=True)
class Key:
    """A configuration key.

    Args:
        name: section and name.
        default: its value where nothing is said.
        kind: the values that it takes.
        about: what it says, as a noun phrase.
        scope: what it changes.
        commands: that use it.
        stored: what a feature store calls it; default is the name without the section.
        own: it is not passed on to what a transfer trains first.
    """

    name: str
    default: Any
    kind: Kind
    about: str
    scope: Scope
    commands: Command
    stored: str = ""
    own: bool = False

    @property
    def short(self) -> str:
        """What a feature store calls it."""
        return self.stored or self.name.rpartition(".")[2]

    @property
    def place(self) -> bool:
        """Whether it says where something lies on this machine."""
        return isinstance(self.kind, Text) and self.kind.place
