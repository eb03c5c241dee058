"""Kinds of values of configuration keys: how to parse and check them."""

from __future__ import annotations

import ast
import datetime
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import yaml

from nr3d.config.guarded_yaml import load_yaml

LONGEST_TEXT = 4096
"""Maximum length of a value, in characters; no path is longer."""

MOST_ITEMS = 1000
"""Maximum number of items in a list."""

LARGE = 10**6
"""A bound that no sensible count exceeds."""


class MisfitError(ValueError):
    """A value of the wrong type for its key."""


@dataclass(frozen=True)
class Kind:
    """Values of one type.

    Attributes:
        word: name of the type in messages.
    """

    word: ClassVar[str]

    @property
    def range(self) -> str:
        """Description of the values in `nr3d config`."""
        return self.word

    def parse(self, text: str) -> Any:
        """Parse a value from the command line: a Python literal, YAML, or else text."""
        try:
            return _literal(text)
        except MisfitError:
            pass
        try:
            value = load_yaml(text)
        except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError):
            return text
        return value if isinstance(value, bool | list) else text

    def take(self, value: Any) -> Any:
        """Convert a value to this type.

        Raises:
            MisfitError: if the value is of another type.
        """
        raise NotImplementedError

    def expected(self, value: Any) -> str | None:
        """Return what is expected instead of a value of this type; None if it is valid."""
        raise NotImplementedError


@dataclass(frozen=True)
class Flag(Kind):
    """True or False."""

    word: ClassVar[str] = "bool"

    def take(self, value: Any) -> bool:
        """Return a value in this type."""
        if isinstance(value, bool):
            return value
        raise MisfitError

    def expected(self, value: bool) -> str | None:
        """Describe what is expected instead of a value; None if it is usable."""
        return None


@dataclass(frozen=True)
class Whole(Kind):
    """A whole number.

    Args:
        least, most: bounds of the number, both included.
        why: reason for the upper bound, for the message.
    """

    least: int = 0
    most: int = LARGE
    why: str = ""
    word: ClassVar[str] = "int"

    def take(self, value: Any) -> int:
        """Return a value in this type."""
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise MisfitError

    def expected(self, value: int) -> str | None:
        """Describe what is expected instead of a value; None if it is usable."""
        if value < self.least:
            return f"{self.least} or more" if self.least <= 0 else f"at least {self.least}"
        if value > self.most:
            return f"at most {self.most}" + (f": {self.why}" if self.why else "")
        return None


@dataclass(frozen=True)
class Number(Kind):
    """A finite number.

    Args:
        least, most: bounds of the number.
        open: whether ``least`` itself is excluded.
        below: whether ``most`` itself is excluded.
    """

    least: float = 0
    most: float = LARGE
    open: bool = False
    below: bool = False
    word: ClassVar[str] = "float"

    def take(self, value: Any) -> float:
        """Return a value in this type."""
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            try:
                return float(value)  # YAML reads 5e-4 as text
            except (ValueError, OverflowError):
                pass
        raise MisfitError

    def expected(self, value: float) -> str | None:
        """Describe what is expected instead of a value; None if it is usable."""
        low = value > self.least if self.open else value >= self.least
        high = value < self.most if self.below else value <= self.most
        if math.isfinite(value) and low and high:
            return None
        if self.open or self.below:
            first = f"more than {self.least:g}" if self.open else f"at least {self.least:g}"
            last = f"less than {self.most:g}" if self.below else f"at most {self.most:g}"
            return f"a number of {first} and {last}"
        return f"a number from {self.least:g} to {self.most:g}"


@dataclass(frozen=True)
class Text(Kind):
    """Text, such as the name of a file, exactly as typed, whatever YAML would make of it.

    Args:
        empty: whether the text may be empty, meaning none.
        place: whether it names a file or folder on this machine.
    """

    empty: bool = False
    place: bool = False
    word: ClassVar[str] = "text"

    def parse(self, text: str) -> Any:
        """Parse a value from the command line; quotes around the text are optional."""
        try:
            value = _literal(text)
        except MisfitError:
            return text
        return value if isinstance(value, str) else text

    def take(self, value: Any) -> str:
        """Return a value in this type."""
        if value is None and self.empty:
            return ""
        return _text(value)

    def expected(self, value: str) -> str | None:
        """Describe what is expected instead of a value; None if it is usable."""
        if not value and not self.empty:
            return "a text that is not empty"
        if len(value) > LONGEST_TEXT:
            return f"at most {LONGEST_TEXT} characters"
        try:
            usable = b"\0" not in os.fsencode(value)
        except UnicodeEncodeError:
            usable = False
        return None if usable else "a text that can be the name of a file"


@dataclass(frozen=True)
class Choice(Text):
    """One of several words.

    Args:
        choices: the words. If ``none`` is among them, empty text and YAML's null stand for it.
    """

    choices: Sequence[str] = ()

    @property
    def range(self) -> str:
        """Description of the values in `nr3d config`."""
        return f"one of {', '.join(self.choices)}"

    def take(self, value: Any) -> str:
        """Return a value in this type."""
        if "none" in self.choices and value in (None, "", "None", "null"):
            return "none"
        return _text(value)

    def expected(self, value: str) -> str | None:
        """Describe what is expected instead of a value; None if it is usable."""
        return None if value in self.choices else self.range


@dataclass(frozen=True)
class FlagOrText(Text):
    """True, False, or text."""

    word: ClassVar[str] = "bool or text"

    def parse(self, text: str) -> Any:
        """Read a value from the command line."""
        value = Kind.parse(self, text)
        return value if isinstance(value, bool) else super().parse(text)

    def take(self, value: Any) -> Any:
        """Return a value in this type."""
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        return value if isinstance(value, bool) else _text(value)

    def expected(self, value: Any) -> str | None:
        """Describe what is expected instead of a value; None if it is usable."""
        return None if isinstance(value, bool) else super().expected(value)


@dataclass(frozen=True)
class Several(Kind):
    """A list of distinct values of one kind; a single value stands for a list of one.

    Args:
        item: kind of the values.
        least: minimum number of values.
        exactly: number of values, if it is fixed; they need not be distinct then.
        what: name of the values in messages.
    """

    item: Kind
    least: int = 0
    exactly: int | None = None
    what: str = "values"

    @property
    def word(self) -> str:  # type: ignore[override]
        """Name of the type in messages."""
        return f"a list of {self.item.word}"

    @property
    def range(self) -> str:
        """Description of the values in `nr3d config`."""
        number = "" if self.exactly is None else f"{self.exactly} "
        return f"a list of {number}{self.item.range.replace('one of', 'any of')}"

    def parse(self, text: str) -> Any:
        """Read a value from the command line."""
        if not isinstance(self.item, Text):
            return super().parse(text)
        try:
            value = _literal(text)
        except MisfitError:
            value = None
        if isinstance(value, str) or (
            isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
        ):
            return value
        if not text.lstrip().startswith("["):
            return text
        try:
            return load_yaml(text, plain=True)
        except (yaml.YAMLError, ValueError):
            return text

    def take(self, value: Any) -> list[Any]:
        """Return a value in this type."""
        return [self.item.take(v) for v in (value if isinstance(value, list | tuple) else [value])]

    def expected(self, value: list[Any]) -> str | None:
        """Describe what is expected instead of a value; None if it is usable."""
        if self.exactly is not None and len(value) != self.exactly:
            return f"{self.exactly} {self.what}"
        if len(value) < self.least:
            return f"{self.what}, at least {self.least} of them"
        if len(value) > MOST_ITEMS:
            return f"at most {MOST_ITEMS} {self.what}"
        for one in value:
            if wanted := self.item.expected(one):
                return f"{self.what}, each {wanted}"
        if self.exactly is None and len(set(value)) < len(value):
            return f"{self.what}, none of them twice"
        return None


PLACE = Text(place=True)
SOME_PLACE = Text(empty=True, place=True)
SHARE = Number(0, 1)
WEIGHT = Number(0, LARGE)
PRECISION = Choice(choices=("auto", "bf16", "fp16", "float32"))


def _literal(text: str) -> Any:
    """Read a Python literal.

    Raises:
        MisfitError: if the text is not one.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd escapes in text that is not Python
            return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise MisfitError from None


def _text(value: Any) -> str:
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return str(value)  # a folder named 2024
        except ValueError:
            pass  # a number with more digits than Python prints
    raise MisfitError
