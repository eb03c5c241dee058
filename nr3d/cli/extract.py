"""``nr3d extract``: the features of a dataset's tracklets into a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from nr3d.cli.configured import add_config_options, changes_of
from nr3d.cli.output import print_bad_frames
from nr3d.config import Command
from nr3d.features import SPLITS
from nr3d.features.store.layout import DTYPES
from nr3d.runs.extraction import extract_dataset
from nr3d.runs.testing import config_to_test


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "extract", help="write the features of a dataset's tracklets into an HDF5 file"
    )
    add_config_options(parser)
    parser.add_argument(
        "--weights",
        required=True,
        metavar="FILE|NAME",
        help="as for `nr3d test`",
    )
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="FILE",
        help="the feature store; one that is there is gone on with",
    )
    parser.add_argument(
        "--split",
        default=",".join(SPLITS),
        metavar="SPLIT,SPLIT",
        help="default: %(default)s",
    )
    parser.add_argument(
        "--dtype", choices=DTYPES, default="float32", help="that features are kept in"
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Extract, and say what there is."""
    cfg = config_to_test(args.config, args.weights, changes_of(args, Command.EXTRACT))
    splits = [split.strip() for split in args.split.split(",") if split.strip()]
    done = extract_dataset(cfg, args.out, splits, args.dtype)
    rate = f", {done.frames / done.seconds:.1f} frames/s" if done.frames else ""
    held = ", ".join(f"{count} {split}" for split, count in done.counts.items())
    print(
        f"{done.extracted} tracklets of {done.frames} frames extracted in {done.seconds:.1f} s"
        f"{rate}, in {done.precision}"
    )
    print(f"{done.path} holds {held or 'no'} tracklets")
    if {"query", "gallery"} <= done.counts.keys():
        print(f"Test them: nr3d test --features {done.path}")
    print_bad_frames(done.bad_frames)
