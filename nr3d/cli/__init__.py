"""The command ``nr3d``: the one place that parses and prints."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
from collections.abc import Sequence

from nr3d.cli import data, demo, extract, models, pack, synthesize, table, test, train, weights
from nr3d.cli.signals import farewell, signal_of, stopped_by_signals
from nr3d.cli.terminal import outputs, shown
from nr3d.errors import Nr3dError
from nr3d.parallel import launched
from nr3d.version import __version__

COMMANDS = (demo, train, test, extract, table, models, weights, data, pack, synthesize)

_WORKING = (demo, train, test, extract, pack, synthesize)
"""Those that do more than print."""

_GOING_ON = (extract, pack, weights)
"""Those that go on where they were stopped if they are run again."""


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
        subparser.set_defaults(
            run=command.run,
            works=command in _WORKING,
            goes_on=command in _GOING_ON,
            resumes=command is train,
        )
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
        int: 0; 2 for what the user can mend (one line on standard error); 128 and the number of the
        signal that stopped the command, such as 130 for Ctrl-C and 143 for SIGTERM; 141 if nobody
        read to the end what a command gives that does nothing but print.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    with outputs() as streams:
        args = _parse(words)
        code = _run(args, words)
        sys.stdout.flush()
        if streams.closed() and code == 0:
            print(
                f"nr3d: error: standard output cannot be written ({streams.closed()}): the command "
                "went on to its end without it",
                file=sys.stderr,
            )
            return 2
        if streams.unread and code == 0:
            if not args.works:
                return 128 + 13
            print("nr3d: nobody reads standard output; the rest was not printed", file=sys.stderr)
        return code


def _run(args: argparse.Namespace, words: Sequence[str]) -> int:
    """Run the command that was parsed; gives its exit status."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Shown("%(message)s"))
    logger = logging.getLogger("nr3d")
    logger.addHandler(handler)
    # Of the processes that torchrun started one reports; each tells its own errors.
    first = launched().first
    logger.setLevel(logging.INFO if first else logging.ERROR)
    silent = contextlib.nullcontext() if first else contextlib.redirect_stdout(io.StringIO())
    try:
        with stopped_by_signals(), silent:
            args.run(args)
    except (Nr3dError, OSError) as error:
        if args.debug:
            raise
        print(f"nr3d: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:
        if args.debug:
            raise
        if first:
            told = farewell(stopped, words, goes_on=args.goes_on, resumes=args.resumes)
            print(f"nr3d: {told}", file=sys.stderr)
        return 128 + signal_of(stopped)
    finally:
        logger.removeHandler(handler)
    return 0


class _Shown(logging.Formatter):
    """Formats records so that they are shown and nothing in them is acted on."""

    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record))
