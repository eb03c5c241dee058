"""``nr3d synthesize``: draw a synthetic MARS, PRID2011 or iLIDS-VID."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from nr3d.cli.output import progress_bar
from nr3d.synthetic.settings import CAMERA_SHIFT, DATASETS, OCCLUSION, OCCLUSIONS

if TYPE_CHECKING:
    from nr3d.synthetic import SyntheticSummary


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--dataset",
        choices=DATASETS,
        default="mars",
        help="dataset whose layout to draw: mars with several cameras and takes, the others with "
        "two cameras and ten splits (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder to draw the dataset in",
    )
    parser.add_argument(
        "--identities",
        type=int,
        default=64,
        metavar="N",
        help="number of people, half to train and half to test (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="S",
        help="seed; the same seed gives the same bytes (default: %(default)s)",
    )
    parser.add_argument(
        "--occlusion",
        choices=tuple(OCCLUSIONS),
        default=OCCLUSION,
        help="usual: something passes in front of a person for a few frames; heavy: about half the "
        "frames of a tracklet show another person, only background or a small part of the person, "
        "and info/frames.csv says which (default: %(default)s)",
    )
    parser.add_argument(
        "--occluded",
        type=float,
        metavar="SHARE",
        help="share of the tracklets that suffer from the occlusion, from 0 to 1 (default: "
        + ", ".join(f"{share} if {kind}" for kind, share in OCCLUSIONS.items())
        + ")",
    )
    parser.add_argument(
        "--camera-shift",
        type=float,
        default=CAMERA_SHIFT,
        metavar="FACTOR",
        help="distance of the cameras' colours, from 0 (the same) to 4 (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> None:
    """Draw the dataset and print its content."""
    summary = draw(
        args.out,
        args.identities,
        args.seed,
        dataset=args.dataset,
        occlusion=args.occlusion,
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
    occlusion: str = OCCLUSION,
    occluded: float | None = None,
    camera_shift: float = CAMERA_SHIFT,
) -> SyntheticSummary:
    """Draw a dataset with a progress bar.

    Args:
        out: torchreid's root folder, such as ``out`` for ``out/mars``.
        identities: number of people, half to train and half to test.
        seed: seed of the drawing; the same seed gives the same bytes.
        frames: minimum and maximum number of frames of a tracklet.
        dataset: one of :data:`DATASETS`.
        occlusion: one of :data:`OCCLUSIONS`.
        occluded: share of the tracklets that suffer from it, in [0, 1]; None for its default.
        camera_shift: distance between the cameras' colours, from 0 (the same) to 4.
    """
    from nr3d.synthetic import WRITERS

    return WRITERS[dataset](
        out,
        identities,
        seed,
        frames=frames,
        occlusion=occlusion,
        occluded=occluded,
        camera_shift=camera_shift,
        progress=progress_bar("Drawing", "tracklet"),
    )


def describe(summary: SyntheticSummary) -> str:
    """Describe the content of a dataset in one line."""
    return (
        f"{summary.root}: {summary.train_identities} people to train ({summary.train_tracklets} "
        f"tracklets), {summary.test_identities} others to test ({summary.query} query and "
        f"{summary.gallery} gallery tracklets), {summary.cameras} cameras, {summary.frames} frames"
    )
