"""Imports between the rooms of the package point one way, from the command line to the files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import nr3d

PACKAGE = Path(nr3d.__file__).parent

ORDER = [
    *("errors", "lazy", "host", "version", "files", "processes", "parallel", "registry", "config"),
    *("data", "weights", "models", "losses", "metrics", "features", "report", "engine", "runs"),
    "zoo",
    *("checking", "synthetic", "cli"),
]
"""A room imports only from those named before it."""


def imported(tree: ast.AST) -> Iterator[str]:
    """Names of the modules that are imported in a tree, but for those that only annotate."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and node.module == "nr3d":
            yield from (f"nr3d.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            yield from imported(node)


def test_imports_point_one_way() -> None:
    upwards = []
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room in ("__init__", "__main__"):
            continue
        for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            other = name.split(".")[1] if name.startswith("nr3d.") else None
            if other is not None and ORDER.index(other) > ORDER.index(room):
                upwards.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert not upwards


def test_the_top_level_holds_what_all_rooms_need() -> None:
    rooms = {
        path.stem for path in PACKAGE.iterdir() if path.name not in ("py.typed", "__pycache__")
    }
    assert rooms == {*ORDER, "__init__", "__main__"}
