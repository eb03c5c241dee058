"""The options that name a configuration and change it."""

from __future__ import annotations

import argparse

from nr3d.config import Command, refuse_unused, shipped_configs


def add_config_options(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add ``--config``, ``--root`` and the KEY VALUE pairs."""
    parser.add_argument(
        "--config",
        required=required,
        metavar="NAME|FILE",
        help=f"{', '.join(shipped_configs())}, or the path of a YAML file",
    )
    parser.add_argument(
        "--root", metavar="DIR", help="folder that holds the datasets' folders (data.root)"
    )
    parser.add_argument(
        "changes",
        nargs="*",
        metavar="KEY VALUE",
        help="change keys of the configuration, such as train.max_epoch 5",
    )


def changes_of(args: argparse.Namespace, command: Command) -> list[str]:
    """Give the changes that the options and pairs ask for, keys and values in turn.

    Raises:
        ConfigError: for a key that the command does not use.
    """
    root = [] if args.root is None else ["data.root", args.root]
    refuse_unused(args.changes, command)
    return [*root, *args.changes]
