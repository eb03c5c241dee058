"""Packages whose names are imported when they are first used.

A command that only prints imports light modules of packages that also hold heavy ones. Their
``__init__`` therefore names where its objects live, and imports none of them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of a package that imports on first use.

    Args:
        package: the package's ``__name__``.
        homes: name of each object to the module within the package that defines it, or to an
            empty text if the object is the submodule of that name.

    Examples:
        >>> get, _ = lazy("nr3d.losses", {"center_loss": "center"})
        >>> get("center_loss").__name__
        'center_loss'
    """

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if not homes[name]:
            return importlib.import_module(f"{package}.{name}")
        value = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return __getattr__, __dir__
