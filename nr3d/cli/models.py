"""``nr3d models``: the registered models."""

from __future__ import annotations

import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; there are none."""


def run(args: argparse.Namespace) -> None:
    """Print one line per model."""
    from nr3d.models import ARCHITECTURES

    print(f"{'name':<20} {'parameters':>12}  what it is")
    for architecture in ARCHITECTURES.values():
        print(f"{architecture.name:<20} {architecture.parameters:>12,}  {architecture.summary}")
    print("Parameters are with MARS's 625 identities and each model's own aggregation.")
