"""The docstrings of the package: their language, their arguments, and examples that run."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import nr3d

PACKAGE = Path(nr3d.__path__[0])
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(nr3d.__path__, "nr3d.")
    if module.name != "nr3d.__main__"
)

SECTIONS = (
    *("Args", "Attributes", "Returns", "Yields", "Raises"),
    *("Shape", "Note", "Reference", "Examples"),
)

STUMP = re.compile(
    r"(?:that|which|who|whose|what|how|where|when|why|of|for|to|in|into|on|by|with|without|from"
    r"|at|beside|besides|such as|one that|those that)\b",
    re.IGNORECASE,
)
"""Beginnings of descriptions that are not noun phrases, such as "seconds: that it took"."""

STILTED = re.compile(
    r"\b(?:mends?|mended|(?:go|goes|gone|going|went) on with|comes? by it)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Documented:
    """A docstring and what it belongs to."""

    place: str
    text: str
    node: ast.AST | None

    def sections(self) -> dict[str, list[str]]:
        """Return the lines of each section, whose headings are lines like ``Args:``."""
        found: dict[str, list[str]] = {}
        lines: list[str] = []
        for line in self.text.splitlines():
            if re.fullmatch(r"[A-Z]\w+(?: \w+)?::?", line):
                lines = found.setdefault(line, [])
            elif line and not line.startswith(" "):
                lines = []
            else:
                lines.append(line)
        return found

    def entries(self, section: str) -> Iterator[tuple[list[str], str]]:
        """Yield the names and the whole description of each entry of a section."""
        entry: list[str] = []
        for line in [*self.sections().get(section, []), "    end:"]:
            if re.match(r" {4}\S", line) and entry:
                names, _, description = " ".join(entry).partition(": ")
                names = re.sub(r" \(.*\)", "", names.removesuffix(":"))  # of types
                yield [name.strip().lstrip("*") for name in names.split(",")], description
                entry = []
            if line.strip():
                entry.append(line.strip())


def _docstrings_of(path: Path) -> Iterator[Documented]:
    """Yield all docstrings of a file, those that follow an assignment as well."""
    place = path.relative_to(PACKAGE.parent)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for position, statement in enumerate(body):
            value = getattr(statement, "value", None)
            if not isinstance(statement, ast.Expr) or not isinstance(value, ast.Constant):
                continue
            if isinstance(value.value, str):
                name = getattr(node, "name", "") if position == 0 else "of a variable"
                own = node if position == 0 else None
                where = f"{place}:{statement.lineno} {name}".rstrip()
                yield Documented(where, inspect.cleandoc(value.value), own)


DOCSTRINGS = [each for path in sorted(PACKAGE.rglob("*.py")) for each in _docstrings_of(path)]


def _parameters(node: ast.AST | None) -> set[str] | None:
    """Return the names of a function's or a class's parameters; None if they are not known."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        given = node.args
        every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        return {one.arg for one in every if one is not None} - {"self", "cls"}
    if not isinstance(node, ast.ClassDef):
        return None
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            return _parameters(statement)
    fields = [each.target for each in node.body if isinstance(each, ast.AnnAssign)]
    return {field.id for field in fields if isinstance(field, ast.Name)} or None


def _assert_none(violations: list[str]) -> None:
    assert not violations, f"{len(violations)} docstrings:\n" + "\n".join(violations)


def test_all_docstrings_are_found() -> None:
    text = "\n".join(each.text for each in DOCSTRINGS)
    assert len(DOCSTRINGS) > 500
    assert "errors that nr3d raises" in text  # of a module
    assert "Base class of all errors" in text  # of a class
    assert "Number of characters shown of another library's message." in text  # of a variable


def test_docstrings_begin_with_an_imperative_or_a_noun_phrase() -> None:
    _assert_none(
        [
            f"{each.place}: {each.text.splitlines()[0]}"
            for each in DOCSTRINGS
            if re.match(r"Gives?\b", each.text)
        ]
    )


def test_words_are_those_of_plain_english() -> None:
    _assert_none(
        [
            f"{each.place}: {found.group()}"
            for each in DOCSTRINGS
            for found in STILTED.finditer(each.text)
        ]
    )


def test_sections_have_one_name_each() -> None:
    _assert_none(
        [
            f"{each.place}: {heading}"
            for each in DOCSTRINGS
            for heading in each.sections()
            if heading.removesuffix(":") not in SECTIONS
        ]
    )


@pytest.mark.parametrize("section", ["Args:", "Attributes:"])
def test_descriptions_are_noun_phrases(section: str) -> None:
    _assert_none(
        [
            f"{each.place}: {', '.join(names)}: {description}"
            for each in DOCSTRINGS
            for names, description in each.entries(section)
            if not description or STUMP.match(description) or not description.endswith((".", ":"))
        ]
    )


def _described(each: Documented) -> set[str]:
    return {name for names, _ in each.entries("Args:") for name in names}


def test_described_arguments_exist() -> None:
    _assert_none(
        [
            f"{each.place}: {name}"
            for each in DOCSTRINGS
            for name in sorted(_described(each) - (_parameters(each.node) or set()))
        ]
    )


def test_arguments_are_described_together() -> None:
    _assert_none(
        [
            f"{each.place}: {name} is not described"
            for each in DOCSTRINGS
            # A subclass without an __init__ may give a field of its base another default.
            if (described := _described(each)) and not getattr(each.node, "bases", ())
            for name in sorted((_parameters(each.node) or set()) - described)
            if not name.startswith("_")
        ]
    )


def test_examples_have_one_form() -> None:
    violations = []
    for each in DOCSTRINGS:
        examples = each.sections().get("Examples:")
        if examples is None and ">>> " in each.text:
            violations.append(f"{each.place}: examples that are not below a line Examples:")
        if examples is not None and not (examples and examples[0].startswith("    >>> ")):
            violations.append(f"{each.place}: Examples: is not followed by an indented >>>")
    _assert_none(violations)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # an example may write a file
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    found = [
        example
        for name in MODULES
        for example in doctest.DocTestFinder().find(importlib.import_module(name))
        if example.examples
    ]
    assert len(found) > 20
