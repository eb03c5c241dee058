"""``nr3d test``: test weights by torchreid's protocol."""

from __future__ import annotations

import argparse
from typing import Any

from nr3d import experiment
from nr3d.cli.configured import add_config_options, changes_of
from nr3d.cli.output import add_json_option, print_outcome, write_json


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "test", help="test weights by torchreid's protocol"
    )
    add_config_options(parser)
    parser.add_argument(
        "--weights",
        required=True,
        metavar="FILE|NAME",
        help="checkpoint to test, or a name that `nr3d weights list` shows; its input size, clip "
        "length, normalisation and distance are used unless KEY VALUE says otherwise",
    )
    add_json_option(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Test and print the results."""
    cfg = experiment.config_to_test(args.config, args.weights, changes_of(args))
    outcome = experiment.evaluate(cfg)
    print_outcome(outcome)
    write_json(args.json, outcome.summary())
