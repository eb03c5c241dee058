"""What values a configuration key takes: how one is read, and what is wrong with one."""

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
"""Characters of a value; no path is longer."""

MOST_ITEMS = 1000
"""Items of a list."""

LARGE = 10**6
"""What no count that makes sense goes beyond."""


class MisfitError(ValueError):
    """A value of another type than its key's."""


@dataclass(frozen=True)
class Kind:
    """Values of one type.

    Attributes:
        word: what the type is called in a message.
    """

    word: ClassVar[str]

    def parse(self, text: str) -> Any:
        """Read a value from the command line: as Python writes it, else as YAML, else as text."""
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
        """Return a value in this type.

        Raises:
            MisfitError: if it is not one of it.
        """
        raise NotImplementedError

    def expected(self, value: Any) -> str | None:
        """Say what is expected in the place of a value of this type; None if it is usable."""
        raise NotImplementedError


@dataclass(frozen=True)
class Flag(Kind):
    """True or False."""

    word: ClassVar[str] = "bool"

    def take(self, value: Any) -> bool:
        """See the base."""
        if isinstance(value, bool):
            return value
        raise MisfitError

    def expected(self, value: bool) -> str | None:
        """See the base."""
        return None


@dataclass(frozen=True)
class Whole(Kind):
    """A whole number.

    Args:
        least, most: that it may be.
        why: what a larger one would do.
    """

    least: int = 0
    most: int = LARGE
    why: str = ""
    word: ClassVar[str] = "int"

    def take(self, value: Any) -> int:
        """See the base."""
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise MisfitError

    def expected(self, value: int) -> str | None:
        """See the base."""
        if value < self.least:
            return f"{self.least} or more" if self.least <= 0 else f"at least {self.least}"
        if value > self.most:
            return f"at most {self.most}" + (f": {self.why}" if self.why else "")
        return None


@dataclass(frozen=True)
class Number(Kind):
    """A finite number.

    Args:
        least, most: that it may be.
        open: ``least`` itself may not be.
        below: ``most`` itself may not be.
    """

    least: float = 0
    most: float = LARGE
    open: bool = False
    below: bool = False
    word: ClassVar[str] = "float"

    def take(self, value: Any) -> float:
        """See the base."""
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            try:
                return float(value)  # YAML reads 5e-4 as text
            except (ValueError, OverflowError):
                pass
        raise MisfitError

    def expected(self, value: float) -> str | None:
        """See the base."""
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
    """A text, such as the name of a file: what the user typed, whatever YAML takes it for.

    Args:
        empty: it may be empty, for none.
        place: it says where something lies on this machine.
    """

    empty: bool = False
    place: bool = False
    word: ClassVar[str] = "text"

    def parse(self, text: str) -> Any:
        """See the base; quotes around it may be left out."""
        try:
            value = _literal(text)
        except MisfitError:
            return text
        return value if isinstance(value, str) else text

    def take(self, value: Any) -> str:
        """See the base."""
        if value is None and self.empty:
            return ""
        return _text(value)

    def expected(self, value: str) -> str | None:
        """See the base."""
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
    """One of some words.

    Args:
        choices: the words; where ``none`` is one, so are an empty text and YAML's null.
    """

    choices: Sequence[str] = ()

    def take(self, value: Any) -> str:
        """See the base."""
        if "none" in self.choices and value in (None, "", "None", "null"):
            return "none"
        return _text(value)

    def expected(self, value: str) -> str | None:
        """See the base."""
        return None if value in self.choices else f"one of {', '.join(self.choices)}"


@dataclass(frozen=True)
class FlagOrText(Text):
    """True, False, or a text."""

    word: ClassVar[str] = "bool or text"

    def parse(self, text: str) -> Any:
        """See the base."""
        value = Kind.parse(self, text)
        return value if isinstance(value, bool) else super().parse(text)

    def take(self, value: Any) -> Any:
        """See the base."""
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        return value if isinstance(value, bool) else _text(value)

    def expected(self, value: Any) -> str | None:
        """See the base."""
        return None if isinstance(value, bool) else super().expected(value)


@dataclass(frozen=True)
class Several(Kind):
    """A list of values of one kind, each once; a value alone is a list of one.

    Args:
        item: the kind.
        least: how many there are at least.
        exactly: how many there are, where the number is fixed; they may then be alike.
        what: what they are called in a message.
    """

    item: Kind
    least: int = 0
    exactly: int | None = None
    what: str = "values"

    @property
    def word(self) -> str:  # type: ignore[override]
        """What the type is called in a message."""
        return f"a list of {self.item.word}"

    def parse(self, text: str) -> Any:
        """See the base."""
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
        """See the base."""
        return [self.item.take(v) for v in (value if isinstance(value, list | tuple) else [value])]

    def expected(self, value: list[Any]) -> str | None:
        """See the base."""
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


def _literal(text: str) -> Any:
    """Read what Python writes.

    Raises:
        MisfitError: if it is something else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in what is not Python
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
            pass  # of more digits than Python writes
    raise MisfitError
