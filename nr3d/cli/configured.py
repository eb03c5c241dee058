"""The options that name a configuration and change it."""

from __future__ import annotations

import argparse
from pathlib import Path

from yacs.config import CfgNode

from nr3d.config import load_config, shipped_configs


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--config``, ``--root`` and the KEY VALUE pairs."""
    parser.add_argument(
        "--config",
        required=True,
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


def config_of(args: argparse.Namespace, **more: str | Path) -> CfgNode:
    """Load the configuration that the options name.

    Args:
        args: with ``config``, ``root`` and ``changes``.
        **more: further changes, ``section__key`` to text, set before those of the user.
    """
    changes = [word for key, value in more.items() for word in (key.replace("__", "."), str(value))]
    if args.root is not None:
        changes += ["data.root", args.root]
    return load_config(args.config, [*changes, *args.changes])
