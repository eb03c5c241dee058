"""The examples in the docstrings run and give what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import nr3d

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(nr3d.__path__, "nr3d.")
    if module.name != "nr3d.__main__"
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
