"""``nr3d table``: what finished runs found, laid out like the paper's table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from nr3d.cli.output import add_json_option, write_json
from nr3d.config import write_text
from nr3d.runs import table


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "table", help="lay out what finished runs found, as Markdown and JSON"
    )
    parser.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="save folders of runs, or of runs over splits",
    )
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write the table here too")
    add_json_option(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Print the table, and write it."""
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
