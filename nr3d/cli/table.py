"""``nr3d table``: the results of finished runs, laid out like the paper's table."""

from __future__ import annotations

import argparse
from pathlib import Path

from nr3d.cli.output import add_json_option, write_json
from nr3d.config import write_text


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="save folders of runs, or of runs over splits",
    )
    parser.add_argument(
        "--markdown", metavar="FILE", type=Path, help="also write the table to this file"
    )
    add_json_option(parser)


def run(args: argparse.Namespace) -> None:
    """Print the table, and write it to files if requested."""
    from nr3d.runs import table

    rows = table.read_rows(args.folders)
    text = table.as_markdown(rows)
    print(text)
    print(
        "\nRank-1 (mAP) in percent, by torchreid's protocol where no other is named, of the last "
        "epoch's weights."
    )
    if args.markdown is not None:
        write_text(args.markdown, text + "\n")
    write_json(args.json, table.as_json(rows))
