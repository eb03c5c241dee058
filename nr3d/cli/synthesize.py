"""``nr3d synthesize``: draw a synthetic MARS, PRID2011 or iLIDS-VID."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tqdm import tqdm

from nr3d.synthetic import CAMERA_SHIFT, OCCLUDED, WRITERS, SyntheticSummary


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "synthesize", help="draw a synthetic video re-ID dataset in a real one's layout"
    )
    parser.add_argument(
        "--dataset",
        choices=list(WRITERS),
        default="mars",
        help="whose layout: several cameras and takes, or two cameras and ten splits",
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="makes the dataset's folder in DIR"
    )
    parser.add_argument(
        "--identities", type=int, default=64, metavar="N", help="half to train, half to test"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="same seed, same bytes")
    parser.add_argument(
        "--occluded",
        type=float,
        default=OCCLUDED,
        metavar="SHARE",
        help=f"of the tracklets that something passes in front of, 0 to 1; default: {OCCLUDED}",
    )
    parser.add_argument(
        "--camera-shift",
        type=float,
        default=CAMERA_SHIFT,
        metavar="FACTOR",
        help="how far apart the cameras' colours are, 0 (the same) to 4; default: 1",
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Draw the dataset and say what is in it."""
    summary = draw(
        args.out,
        args.identities,
        args.seed,
        dataset=args.dataset,
        occluded=args.occluded,
        camera_shift=args.camera_shift,
    )
    print(describe(summary))
    of_it = f" data.sources {args.dataset} data.targets {args.dataset}"
    print(
        f"Train on it: nr3d train --config synthetic --root {args.out}"
        f"{'' if args.dataset == 'mars' else of_it}"
    )


def draw(
    out: Path,
    identities: int,
    seed: int,
    frames: tuple[int, int] = (6, 10),
    *,
    dataset: str = "mars",
    occluded: float = OCCLUDED,
    camera_shift: float = CAMERA_SHIFT,
) -> SyntheticSummary:
    """Draw the dataset with a progress bar.

    Args:
        out: torchreid's root, such as ``out`` for ``out/mars``.
        identities: people, half to train and half to test.
        seed: same seed, same bytes.
        frames: fewest and most frames of a tracklet.
        dataset: one of ``WRITERS``.
        occluded: share of the tracklets that something passes in front of.
        camera_shift: how far apart the cameras' colours are.
    """

    def progress(tracklets: Any, total: int | None = None) -> Any:
        return tqdm(
            tracklets, total=total, desc="Drawing", unit="tracklet", leave=False, disable=None
        )

    return WRITERS[dataset](
        out,
        identities,
        seed,
        frames=frames,
        occluded=occluded,
        camera_shift=camera_shift,
        progress=progress,
    )


def describe(summary: SyntheticSummary) -> str:
    """Say in one line what a dataset holds."""
    return (
        f"{summary.root}: {summary.train_identities} people to train ({summary.train_tracklets} "
        f"tracklets), {summary.test_identities} others to test ({summary.query} query and "
        f"{summary.gallery} gallery tracklets), {summary.cameras} cameras, {summary.frames} frames"
    )
