"""``nr3d models``: the registered models."""

from __future__ import annotations

import argparse
import textwrap


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; there are none."""


def run(args: argparse.Namespace) -> None:
    """Print one line per model, and the names of torchreid's image networks."""
    from nr3d.models import ARCHITECTURES
    from nr3d.models.families import usable_image_networks

    width = max(map(len, ARCHITECTURES))
    print(f"{'name':<{width}} {'parameters':>12}  what it is")
    for architecture in ARCHITECTURES.values():
        size = f"{architecture.parameters:,}"
        print(f"{architecture.name:<{width}} {size:>12}  {architecture.summary}")
    print("Parameters are with MARS's 625 identities and each model's own aggregation.")
    print("Any image network of torchreid works as well, by default with the mean over the frames:")
    print(textwrap.fill(", ".join(usable_image_networks()), 100, break_on_hyphens=False))
