"""``nr3d pack``: put a dataset's frames and tracklets into one file."""

from __future__ import annotations

import argparse
import shlex
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from nr3d.config import default_config
from nr3d.data import pack


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "pack", help="put a dataset's frames and tracklets into one file to train and test from"
    )
    parser.add_argument(
        "--root",
        default=default_config().data.root,
        metavar="DIR",
        help="folder that holds the datasets' folders (default: %(default)s)",
    )
    parser.add_argument(
        "--dataset",
        required=True,
        metavar="NAME",
        help="torchreid's name, or the folder of a converted dataset",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="such as mars.h5")
    parser.add_argument(
        "--split-id",
        type=int,
        default=0,
        metavar="N",
        help="split of PRID2011 and iLIDS-VID (default: %(default)s)",
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="threads (default: the number of processors)"
    )
    parser.add_argument("--replace", action="store_true", help="write over a file that is there")
    return parser


def run(args: argparse.Namespace) -> None:
    """Pack the dataset and say how to use the file."""

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
