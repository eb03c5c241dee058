"""The command ``nr3d``: the one place that parses and prints."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
from collections.abc import Sequence

from nr3d.cli import data, demo, extract, models, pack, synthesize, table, test, train, weights
from nr3d.errors import Nr3dError
from nr3d.parallel import launched
from nr3d.version import __version__

COMMANDS = (demo, train, test, extract, table, models, weights, data, pack, synthesize)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command and its subcommands."""
    parser = argparse.ArgumentParser(
        prog="nr3d", description="Video person re-identification with Not 3D Re-ID, by torchreid."
    )
    parser.add_argument("--version", action="version", version=f"nr3d {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = command.add_parser(commands)
        subparser.add_argument("--debug", action="store_true", help="show an error's traceback")
        subparser.set_defaults(run=command.run)
    return parser


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse, with KEY VALUE pairs also before and between the options."""
    parser = build_parser()
    args, rest = parser.parse_known_args(argv)
    unknown = [word for word in rest if word.startswith("--")]
    if unknown or (rest and not hasattr(args, "changes")):
        parser.error(f"unrecognized arguments: {' '.join(unknown or rest)}")
    if rest:
        args.changes = [*args.changes, *rest]
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the words after ``nr3d``; default is the process's.

    Returns:
        int: 0, 2 for what the user can mend (one line on standard error), 130 if interrupted.
    """
    args = _parse(argv)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("nr3d")
    logger.addHandler(handler)
    # Of the processes that torchrun started one reports; each tells its own errors.
    first = launched().first
    logger.setLevel(logging.INFO if first else logging.ERROR)
    try:
        with contextlib.nullcontext() if first else contextlib.redirect_stdout(io.StringIO()):
            args.run(args)
    except (Nr3dError, OSError) as error:
        if args.debug:
            raise
        print(f"nr3d: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if args.debug:
            raise
        print("nr3d: interrupted", file=sys.stderr)
        return 130
    finally:
        logger.removeHandler(handler)
    return 0
