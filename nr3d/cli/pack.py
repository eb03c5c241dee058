"""``nr3d pack``: put a dataset's frames and tracklets into one file."""

from __future__ import annotations

import argparse
import shlex
import time
from pathlib import Path
from typing import Any

from nr3d.cli.configured import add_root_option


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
        help="split of PRID2011 and iLIDS-VID (default: %(default)s)",
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
    from tqdm import tqdm

    from nr3d.data import pack

    def progress(frames: Any, total: int) -> Any:
        return tqdm(frames, total=total, desc="Packing", unit="frame", leave=False, disable=None)

    started = time.perf_counter()
    made = pack(
        args.root,
        args.dataset,
        args.out,
        split_id=args.split_id,
        workers=args.workers,
        replace=args.replace,
        progress=progress,
    )
    print(
        f"{made.file}: {made.frames:,} frames of {made.tracklets:,} tracklets, "
        f"{made.size / 2**20:,.1f} MiB, in {time.perf_counter() - started:.1f} s. Use it by "
        f"data.pack {shlex.quote(str(made.file))}"
    )
