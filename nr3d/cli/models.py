"""``nr3d models``: the registered models."""

from __future__ import annotations

import argparse
from typing import Any

from nr3d.models import ARCHITECTURES


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser("models", help="list the models")
    return parser


def run(args: argparse.Namespace) -> None:
    """Print a line for each model."""
    print(f"{'name':<20} {'parameters':>12}  what it is")
    for architecture in ARCHITECTURES.values():
        print(f"{architecture.name:<20} {architecture.parameters:>12,}  {architecture.summary}")
    print("Parameters are with MARS's 625 identities and each model's own aggregation.")
