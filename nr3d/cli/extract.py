"""``nr3d extract``: the features of a dataset's tracklets, written to a file."""

from __future__ import annotations

import argparse
from pathlib import Path

from nr3d.cli.configured import add_config_options, changes_of
from nr3d.cli.output import add_json_option, print_attention, print_bad_frames, write_json
from nr3d.config import Command
from nr3d.data.datasets.parts import SPLITS
from nr3d.features.store.dtypes import DTYPES


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_config_options(parser, Command.EXTRACT)
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
        help="feature store to write; an existing one is continued",
    )
    parser.add_argument(
        "--split",
        default=",".join(SPLITS),
        metavar="SPLIT,SPLIT",
        help="parts of the dataset to extract (default: %(default)s)",
    )
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default="float32",
        help="number type that features are stored in (default: %(default)s)",
    )
    add_json_option(parser)


def run(args: argparse.Namespace) -> None:
    """Extract the features, and print how many there are."""
    from nr3d.runs.extraction import extract_dataset
    from nr3d.runs.testing import config_to_test

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
    print_attention([done.attention])
    print_bad_frames(done.bad_frames)
    write_json(args.json, done.summary())
