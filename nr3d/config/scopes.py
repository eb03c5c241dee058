"""Configuration keys: the values they take, what they affect, and which commands use them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from nr3d.config.values import Kind, Text


class Scope(enum.Flag):
    """What a key affects; ``MACHINE`` is only where, how fast and how visibly work is done."""

    MACHINE = 0
    STEPS = enum.auto()
    """The weights, because each training step differs."""
    WEIGHTS = enum.auto()
    """The weights, because a run starts elsewhere or has another length; its steps are the same."""
    FEATURES = enum.auto()
    """The features and labels computed with given weights."""
    FIGURES = enum.auto()
    """The figures computed from given features."""


class Command(enum.Flag):
    """Commands that use a key."""

    TRAIN = enum.auto()
    TEST = enum.auto()
    EXTRACT = enum.auto()
    FEATURES = enum.auto()
    """A test from a feature store."""

    def __str__(self) -> str:
        """Return the commands as they are typed."""
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
"""All commands that take a configuration."""


@dataclass(frozen=True)
class Key:
    """A configuration key.

    Args:
        name: section and name, such as ``train.lr``.
        default: default value.
        kind: values that the key takes.
        about: one-line description, as a phrase.
        scope: results that the value affects.
        commands: commands that use the key.
        stored: name in a feature store. Default is the name without the section.
        own: whether the run that a transfer trains first keeps its own value.
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
        """The key's name in a feature store."""
        return self.stored or self.name.rpartition(".")[2]

    @property
    def place(self) -> bool:
        """Whether the value names a file or folder on this machine."""
        return isinstance(self.kind, Text) and self.kind.place
