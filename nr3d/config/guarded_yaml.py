"""YAML for configurations: plain values of bounded size, and text where text was meant.

In YAML a few hundred bytes can stand for a billion values, a value can contain itself, and a
second section of the same name silently replaces the first. Here these are errors. Dates and
numbers in base 60 (``12:30``) are read as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

MOST_NODES = 100_000
"""Maximum number of values in a document, counting every repetition by an alias."""

DEEPEST = 32
"""Maximum depth of nested values."""

_LONGEST_NUMBER = 1000
"""Maximum length of a number, in characters; anything longer is text."""

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_TEXT = "tag:yaml.org,2002:str"
_DATE = "tag:yaml.org,2002:timestamp"


def load_yaml(text: str, *, plain: bool = False) -> Any:
    """Read one YAML document.

    Args:
        text: the document.
        plain: whether to return scalars as they are written in the document, as text.

    Returns:
        Plain values: mappings, lists, strings, numbers, booleans and None.

    Raises:
        yaml.YAMLError: if the text is not YAML, exceeds a bound, or repeats a name.
        ValueError: if a value does not fit its tag.

    Examples:
        >>> load_yaml("save_dir: 2026-12-31")
        {'save_dir': '2026-12-31'}
        >>> load_yaml("[mars, 2024, yes]", plain=True)
        ['mars', '2024', 'yes']
    """
    loader = (_PlainLoader if plain else _Loader)(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


class _Bounded:
    """A composer that counts values while it builds them, before any alias is followed."""

    def __init__(self, text: str) -> None:
        super().__init__(text)  # type: ignore[call-arg]
        self._count = 0
        self._depth = 0
        self._counts: dict[int, int] = {}

    def fetch_flow_collection_start(self, token: Any) -> None:
        # The scanner reads ahead of the composer, in time quadratic in the depth.
        if self.flow_level >= DEEPEST:  # type: ignore[attr-defined]
            raise _too_deep(self.get_mark())  # type: ignore[attr-defined]
        super().fetch_flow_collection_start(token)  # type: ignore[misc]

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[attr-defined]
        repeats = isinstance(event, yaml.AliasEvent)
        before = self._count
        self._depth += 1
        if self._depth > DEEPEST:
            raise _too_deep(event.start_mark)
        node = super().compose_node(parent, index)  # type: ignore[misc]
        self._depth -= 1
        if repeats and id(node) not in self._counts:
            raise _error(
                f"the value of the anchor {event.anchor!r:.80} stands within itself", event
            )
        self._count += self._counts[id(node)] if repeats else 1
        self._counts[id(node)] = self._count - before
        if self._count > MOST_NODES:
            raise _error(f"there are more than {MOST_NODES:,} values, repeated ones counted", event)
        return node

    def compose_scalar_node(self, anchor: Any) -> Any:
        node = super().compose_scalar_node(anchor)  # type: ignore[misc]
        if node.tag in _NUMBERS and (":" in node.value or len(node.value) > _LONGEST_NUMBER):
            node.tag = _TEXT
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)  # type: ignore[misc]
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise _error(f"{key.value!r:.80} stands twice in the same place", key)
                seen.add((key.tag, key.value))
        return node


class _Loader(_Bounded, yaml.SafeLoader):  # type: ignore[misc]
    yaml_implicit_resolvers: Mapping[str, Any] = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _DATE]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def number(self, node: Any) -> Any:
        """Construct a number, or text for something that only looks like one, such as ``0x_``."""
        try:
            value = super().construct_yaml_int(node)
            str(value)
        except (ValueError, IndexError):
            return self.construct_scalar(node)
        return value


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.number)


class _PlainLoader(_Bounded, yaml.BaseLoader):  # type: ignore[misc]
    pass


def _too_deep(mark: Any) -> yaml.YAMLError:
    problem = f"values stand more than {DEEPEST} deep within each other"
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _error(problem: str, at: Any) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)
