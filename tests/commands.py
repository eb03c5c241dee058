"""The command line as tests call it, and the figures that it writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nr3d.cli import main


def run(*words: object) -> None:
    """Run a command, which must succeed."""
    assert main([str(word) for word in words]) == 0


def figures_of(path: Path) -> dict[str, float]:
    """Return rank-1 and mAP on MARS from the JSON file of a test."""
    found: dict[str, Any] = json.loads(path.read_text())["results"]["mars"]
    return {name: found[name] for name in ("rank-1", "mAP")}
