"""``nr3d train``: train a model by a configuration, and test it."""

from __future__ import annotations

import argparse
from typing import Any

from nr3d import experiment
from nr3d.cli.configured import add_config_options, changes_of
from nr3d.cli.output import add_json_option, print_outcome, write_json
from nr3d.config import load_config
from nr3d.engine import BEST, LAST


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "train", help="train a model by a configuration, and test it"
    )
    add_config_options(parser)
    add_json_option(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Train, print the results and where the checkpoints are."""
    outcome = experiment.train(load_config(args.config, changes_of(args)))
    print_outcome(outcome)
    print(f"Checkpoints: {outcome.save_dir / BEST} (best rank-1), {outcome.save_dir / LAST}")
    write_json(args.json, outcome.summary())
