"""The command ``nr3d``: the only place that parses arguments and prints.

A subcommand's module is imported only when the subcommand is called, and imports the code that
computes only when it runs. ``--help`` therefore needs neither torch nor torchreid.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from nr3d.cli.signals import farewell, signal_of, stopped_by_signals
from nr3d.cli.terminal import escaped, outputs
from nr3d.errors import Nr3dError
from nr3d.parallel import launched
from nr3d.version import __version__


@dataclass(frozen=True)
class Subcommand:
    """Facts about a subcommand that are known before its module ``nr3d.cli.NAME`` is imported.

    Args:
        help: description in ``nr3d --help``.
        works: whether it does more than print.
        goes_on: whether the same command, run again, continues where it stopped.
        resumes: whether it takes ``model.resume``.
    """

    help: str
    works: bool = False
    goes_on: bool = False
    resumes: bool = False


SUBCOMMANDS = {
    "demo": Subcommand(
        "draw a small dataset, train on it, test before and after, show the ranking", works=True
    ),
    "train": Subcommand("train a model by a configuration, and test it", works=True, resumes=True),
    "test": Subcommand("test weights or features by torchreid's protocol", works=True),
    "extract": Subcommand(
        "write the features of a dataset's tracklets into an HDF5 file", works=True, goes_on=True
    ),
    "table": Subcommand("lay out the results of finished runs, as Markdown and JSON"),
    "config": Subcommand("list the configuration keys, or print a whole configuration"),
    "models": Subcommand("list the models"),
    "zoo": Subcommand(
        "lay the published methods side by side; train and test them by the same rules",
        works=True,
        goes_on=True,
    ),
    "weights": Subcommand("list, fetch, verify, add and export weights", goes_on=True),
    "data": Subcommand("check a dataset, make its splits, convert a plain tree of frames"),
    "pack": Subcommand(
        "put a dataset's frames and tracklets into one file to train and test from",
        works=True,
        goes_on=True,
    ),
    "synthesize": Subcommand(
        "draw a synthetic video re-ID dataset in a real one's layout", works=True
    ),
}
"""The subcommands by name, in the order of ``nr3d --help``."""


def build_parser(called: str | None = None) -> argparse.ArgumentParser:
    """Build the parser of the command, with the options of one subcommand.

    Args:
        called: name of the subcommand whose module is imported and whose options are added.
    """
    parser = argparse.ArgumentParser(
        prog="nr3d", description="Video person re-identification with Not 3D Re-ID, by torchreid."
    )
    parser.add_argument("--version", action="version", version=f"nr3d {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, subcommand in SUBCOMMANDS.items():
        subparser = subparsers.add_parser(name, help=subcommand.help)
        if name == called:
            module = importlib.import_module(f"{__name__}.{name}")
            module.add_options(subparser)
            subparser.add_argument(
                "--debug", action="store_true", help="show the traceback of an error"
            )
            subparser.set_defaults(run=module.run)
    return parser


def _called(words: Sequence[str]) -> str | None:
    """Return the subcommand that the words name; None if there is none."""
    first = next((word for word in words if not word.startswith("-")), None)
    return first if first in SUBCOMMANDS else None


def _parse(words: Sequence[str], args: argparse.Namespace) -> None:
    """Parse into ``args``; KEY VALUE pairs may also stand before and between the options."""
    parser = build_parser(_called(words))
    _, rest = parser.parse_known_args(words, args)
    unknown = [word for word in rest if word.startswith("--")]
    if unknown or (rest and not hasattr(args, "changes")):
        parser.error(f"unrecognized arguments: {' '.join(unknown or rest)}")
    if rest:
        args.changes = [*args.changes, *rest]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the words after ``nr3d``. Default is those of the process.

    Returns:
        int: exit status: 0 for success; 2 for an error that the user can correct (one line on
        standard error); 128 plus the number of the signal that stopped the command, such as 130 for
        Ctrl-C and 143 for SIGTERM; 141 if the reader of standard output closed it and the command
        only prints.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    known = SUBCOMMANDS.get(_called(words) or "", Subcommand(""))
    args = argparse.Namespace(debug=False, goes_on=known.goes_on, resumes=known.resumes)
    with outputs() as streams:
        code = _run(args, words)
        sys.stdout.flush()
        if streams.closed() and code == 0:
            print(
                f"nr3d: error: standard output cannot be written ({streams.closed()}): the command "
                "ran to its end without it",
                file=sys.stderr,
            )
            return 2
        if streams.unread and code == 0:
            if not known.works:
                return 128 + 13
            print("nr3d: nobody reads standard output; the rest was not printed", file=sys.stderr)
        return code


def _run(args: argparse.Namespace, words: Sequence[str]) -> int:
    """Parse the words into ``args``, run the command and return its exit status."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Shown("%(message)s"))
    logger = logging.getLogger("nr3d")
    logger.addHandler(handler)
    # Of the processes started by torchrun only one reports; each prints its own errors.
    first = launched().first
    logger.setLevel(logging.INFO if first else logging.ERROR)
    silent = contextlib.nullcontext() if first else contextlib.redirect_stdout(io.StringIO())
    try:
        # Parsing and running import packages for seconds, which a signal must also interrupt.
        with stopped_by_signals():
            _parse(words, args)
            with silent:
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
    """Formatter that escapes terminal control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record))
