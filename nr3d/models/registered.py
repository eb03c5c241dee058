"""Registry of named things, which other packages may extend."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from nr3d.errors import RegistrationError

T = TypeVar("T")


class Registered(Mapping[str, T]):
    """Registry: a mapping from names to things, in the order of registration.

    Args:
        kind: name for one of them in messages, such as ``'aggregation'``.

    Examples:
        >>> colours = Registered("colour")
        >>> colours.add("red", 1)
        >>> colours["red"], list(colours)
        (1, ['red'])
        >>> colours.find("blue")
        Traceback (most recent call last):
        KeyError: "Unknown colour: 'blue'. Must be one of ['red']"
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._held: dict[str, T] = {}
        self._followers: list[Callable[[Mapping[str, T]], object]] = []

    def __getitem__(self, name: str) -> T:
        return self._held[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def find(self, name: str) -> T:
        """Return the thing registered under a name.

        Raises:
            KeyError: if the name is unknown; the message lists the known names.
        """
        if name not in self._held:
            raise KeyError(f"Unknown {self.kind}: {name!r}. Must be one of {sorted(self)}")
        return self._held[name]

    def add(self, name: str, value: T) -> None:
        """Register something under a name, and notify the followers.

        A class may replace an earlier version of itself, as happens when a module is reloaded or
        a notebook cell runs twice.

        Raises:
            RegistrationError: if the name is taken, or a follower rejects it; the registry is then
                unchanged.
        """
        present = self._held.get(name)
        if present is not None and not _is_again(present, value):
            raise RegistrationError(
                f"There already is a registered {self.kind} {name!r} ({present!r}): choose another "
                "name."
            )
        before = dict(self._held)
        self._held[name] = value
        try:
            for follower in self._followers:
                follower(self)
        except BaseException:
            self._held = before
            raise

    def remove(self, name: str) -> None:
        """Remove a name, without notifying the followers.

        Raises:
            KeyError: if the name is unknown.
        """
        del self._held[name]

    def follow(self, follower: Callable[[Mapping[str, T]], object]) -> None:
        """Call a function with the registry now, and again after every addition.

        Args:
            follower: the function; it may reject an addition by raising an error.
        """
        follower(self)
        if follower not in self._followers:
            self._followers.append(follower)


def _is_again(present: Any, value: Any) -> bool:
    """Return whether a value equals the present one or is another version of the same class."""
    if present is value or present == value:
        return True
    return (
        isinstance(present, type)
        and isinstance(value, type)
        and (present.__module__, present.__qualname__) == (value.__module__, value.__qualname__)
    )
