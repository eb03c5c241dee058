"""``nr3d pack``: put a dataset's frames and tracklets into one file."""

from __future__ import annotations

import argparse
import shlex
import time
from pathlib import Path

from nr3d.cli.configured import add_root_option
from nr3d.cli.output import progress_bar


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_root_option(parser)
    parser.add_argument(
        "--dataset",
        required=True,
        metavar="NAME",
        help="torchreid's name of the dataset, or the folder of a converted one",
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FILE", help="file to write, such as mars.h5"
    )
    parser.add_argument(
        "--split-id",
        type=int,
        default=0,
        metavar="N",
        help="split of PRID2011, iLIDS-VID and others that have several (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="number of threads (default: the number of processors)",
    )
    parser.add_argument("--replace", action="store_true", help="overwrite an existing file")


def run(args: argparse.Namespace) -> None:
    """Pack the dataset, and print how to use the file."""
    from nr3d.data import pack

    started = time.perf_counter()
    made = pack(
        args.root,
        args.dataset,
        args.out,
        split_id=args.split_id,
        workers=args.workers,
        replace=args.replace,
        progress=progress_bar("Packing", "frame"),
    )
    print(
        f"{made.file}: {made.frames:,} frames of {made.tracklets:,} tracklets, "
        f"{made.size / 2**20:,.1f} MiB, in {time.perf_counter() - started:.1f} s. Use it by "
        f"data.pack {shlex.quote(str(made.file))}"
    )
