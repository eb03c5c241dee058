"""``nr3d synthesize``: draw a synthetic MARS."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tqdm import tqdm

from nr3d.data.synthetic import SyntheticSummary, write_mars


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "synthesize", help="draw a synthetic video re-ID dataset in MARS's layout"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="makes DIR/mars")
    parser.add_argument(
        "--identities", type=int, default=64, metavar="N", help="half to train, half to test"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="same seed, same bytes")
    return parser


def run(args: argparse.Namespace) -> None:
    """Draw the dataset and say what is in it."""
    summary = draw(args.out, args.identities, args.seed)
    print(describe(summary))
    print(f"Train on it: nr3d train --config synthetic --root {args.out}")


def draw(
    out: Path, identities: int, seed: int, frames: tuple[int, int] = (6, 10)
) -> SyntheticSummary:
    """Draw the dataset with a progress bar.

    Args:
        out: makes ``out/mars``.
        identities: people, half to train and half to test.
        seed: same seed, same bytes.
        frames: fewest and most frames of a tracklet.
    """

    def progress(tracklets: Any, total: int | None = None) -> Any:
        return tqdm(
            tracklets, total=total, desc="Drawing", unit="tracklet", leave=False, disable=None
        )

    return write_mars(out, identities, seed, frames=frames, progress=progress)


def describe(summary: SyntheticSummary) -> str:
    """Say in one line what a dataset holds."""
    return (
        f"{summary.root}: {summary.train_identities} people to train ({summary.train_tracklets} "
        f"tracklets), {summary.test_identities} others to test ({summary.query} query and "
        f"{summary.gallery} gallery tracklets), {summary.cameras} cameras, {summary.frames} frames"
    )
