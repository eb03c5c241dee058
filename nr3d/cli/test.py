"""``nr3d test``: test weights by torchreid's protocol."""

from __future__ import annotations

import argparse
from typing import Any

from nr3d import experiment
from nr3d.cli.configured import add_config_options, config_of
from nr3d.cli.output import add_json_option, print_outcome, write_json


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "test", help="test weights by torchreid's protocol"
    )
    add_config_options(parser)
    parser.add_argument("--weights", required=True, metavar="FILE", help="checkpoint to test")
    add_json_option(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Test and print the results."""
    outcome = experiment.evaluate(config_of(args, model__load_weights=args.weights))
    print_outcome(outcome)
    write_json(args.json, outcome.summary())
