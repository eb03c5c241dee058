"""Options that name a configuration and change it."""

from __future__ import annotations

import argparse
import textwrap

from nr3d.config import KEYS, Command, refuse_unused, shipped_configs


def add_config_options(
    parser: argparse.ArgumentParser, command: Command, *, required: bool = True
) -> None:
    """Add ``--config``, ``--root`` and the KEY VALUE pairs, and list the keys below the options.

    Args:
        parser: parser of the subcommand.
        command: the subcommand, whose keys are listed.
        required: whether ``--config`` must be given.
    """
    parser.add_argument(
        "--config",
        required=required,
        metavar="NAME|FILE",
        help=f"{', '.join(shipped_configs())}, or the path of a YAML file",
    )
    parser.add_argument(
        "--root", metavar="DIR", help="folder that holds the folders of the datasets (data.root)"
    )
    parser.add_argument(
        "changes",
        nargs="*",
        metavar="KEY VALUE",
        help="keys of the configuration to change, such as train.max_epoch 5",
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _keys_of(command)


def add_root_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--root`` with the default of ``data.root``."""
    parser.add_argument(
        "--root",
        default=KEYS["data.root"].default,
        metavar="DIR",
        help="folder that holds the folders of the datasets (default: %(default)s)",
    )


def changes_of(args: argparse.Namespace, command: Command) -> list[str]:
    """Return the changes from the options and pairs, as alternating keys and values.

    Raises:
        ConfigError: if the command does not use one of the keys.
    """
    root = [] if args.root is None else ["data.root", args.root]
    refuse_unused(args.changes, command)
    return [*root, *args.changes]


def word_of(command: Command) -> str:
    """Return the word for a command in ``nr3d config``: train, test, extract or features."""
    return (command.name or "").lower()


def _keys_of(command: Command) -> str:
    """List the keys that a command uses, by section."""
    sections: dict[str, list[str]] = {}
    for key in KEYS.values():
        if key.commands & command:
            section, _, name = key.name.partition(".")
            sections.setdefault(section, []).append(name)
    lines = [f"keys (`nr3d config --for {word_of(command)}` describes them):"]
    for section, names in sections.items():
        text = f"{section}: {', '.join(names)}" if any(names) else section
        lines += textwrap.wrap(text, 78, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines)
