"""``nr3d test``: test weights or features by torchreid's protocol."""

from __future__ import annotations

import argparse
from pathlib import Path

from nr3d.cli.configured import add_config_options, changes_of
from nr3d.cli.output import (
    add_json_option,
    print_attention,
    print_outcome,
    print_results,
    write_json,
)
from nr3d.config import Command
from nr3d.errors import ConfigError


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_config_options(parser, Command.TEST, required=False)
    parser.add_argument(
        "--weights",
        metavar="FILE|NAME",
        help="checkpoint to test, or a name from `nr3d weights list`; its input size, clip length, "
        "normalisation and distance are used unless KEY VALUE pairs override them",
    )
    parser.add_argument(
        "--features",
        type=Path,
        metavar="FILE",
        help="store that `nr3d extract` made, in place of --config, --root and --weights; its "
        "keys: nr3d config --for features",
    )
    add_json_option(parser)


def run(args: argparse.Namespace) -> None:
    """Test and print the results."""
    from nr3d.runs.outcome import summaries
    from nr3d.runs.testing import config_to_test, evaluate_features, evaluate_weights
    from nr3d.version import versions

    if args.features is not None:
        if args.config or args.weights or args.root:
            raise ConfigError(
                "--features has the configuration and weights that it was made with: leave out "
                "--config, --root and --weights"
            )
        results = evaluate_features(args.features, args.changes)
        print_results([results])
        print_attention([next(iter(results.values())).attention])
        content = {
            "features": str(args.features),
            "results": summaries([results]),
            "versions": versions(),
        }
        write_json(args.json, content)
        return
    if not (args.config and args.weights):
        raise ConfigError("give --config and --weights, or --features")
    cfg = config_to_test(args.config, args.weights, changes_of(args, Command.TEST))
    outcome = evaluate_weights(cfg)
    print_outcome(outcome)
    healths = [result.attention for result in outcome.results.values()]
    print_attention(healths, outcome.stated_attention)
    write_json(args.json, outcome.summary())
