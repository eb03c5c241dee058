"""What a configuration key is: the values it takes, what it changes, and what uses it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from nr3d.config.values import Kind, Text


class Scope(enum.Flag):
    """What a key changes; ``MACHINE`` is only where, how fast and how visibly work is done."""

    MACHINE = 0
    STEPS = enum.auto()
    """The weights, because a training step is another one."""
    WEIGHTS = enum.auto()
    """The weights, because a run starts elsewhere or is longer; its steps are the same."""
    FEATURES = enum.auto()
    """The features and labels that given weights produce."""
    FIGURES = enum.auto()
    """The figures that given features produce."""


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

IMAGES = Command.TRAIN | Command.TEST | Command.EXTRACT
"""Commands that read frames."""

TESTS = Command.TRAIN | Command.TEST | Command.FEATURES
"""Commands that rank and evaluate."""

EVERY = IMAGES | TESTS
"""Every command that has a configuration."""


@dataclass(frozen=True)
class Key:
    """A configuration key.

    Args:
        name: section and name, such as ``train.lr``.
        default: value where none is given.
        kind: values that the key takes.
        about: meaning, as a phrase of one line.
        scope: the results that another value changes.
        commands: commands that use the key.
        stored: name in a feature store; default is the name without the section.
        own: whether a transfer keeps the value from what it trains first.
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
        """Name in a feature store."""
        return self.stored or self.name.rpartition(".")[2]

    @property
    def place(self) -> bool:
        """Whether the value names a file or folder on this machine."""
        return isinstance(self.kind, Text) and self.kind.place
