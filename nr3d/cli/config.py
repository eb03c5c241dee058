"""``nr3d config``: the table of configuration keys, or a complete configuration as YAML."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from typing import Any

from nr3d.cli.configured import word_of
from nr3d.cli.output import add_json_option, write_json
from nr3d.config import KEYS, Command, Key, Scope, as_mapping, check_values, load_config
from nr3d.config.files import yaml_text
from nr3d.config.loading import suggestion
from nr3d.errors import ConfigError, shown

_CHANGES = {
    Scope.STEPS: "training steps",
    Scope.WEIGHTS: "weights",
    Scope.FEATURES: "features",
    Scope.FIGURES: "figures",
}
"""Names of the scopes in the output."""

_LEGEND = """\
Used by: the commands that take the key; "features" is `nr3d test --features`.
Changes: what the value of the key affects. "training steps": the weights, because each step
differs; "weights": only where a run starts or how long it is; "features": the features of given
weights; "figures": the figures of given features; "no result": only where, how fast and how visibly
the work is done.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "changes",
        nargs="*",
        metavar="KEY",
        help="list only keys that begin with these words, such as train or test.rank; with "
        "--config: KEY VALUE pairs that change the configuration",
    )
    parser.add_argument(
        "--for",
        dest="command",
        choices=[word_of(command) for command in Command],
        help="list only the keys that this command uses; features is `nr3d test --features`",
    )
    parser.add_argument(
        "--config",
        metavar="NAME|FILE",
        help="print this configuration as YAML, which --config FILE reads back",
    )
    add_json_option(parser)


def run(args: argparse.Namespace) -> None:
    """Print the table or the configuration."""
    if args.config is None:
        keys = _chosen(args.changes, args.command)
        print("\n".join(map(_described, keys)))
        print(f"\n{_LEGEND}", end="")
        write_json(args.json, {key.name: _facts(key) for key in keys})
        return
    if args.command is not None:
        raise ConfigError(
            "--config prints a whole configuration and --for lists keys: give one of the two"
        )
    content = as_mapping(load_config(args.config, args.changes))
    check_values(content)
    print(yaml_text(content, ascii_only=True), end="")
    write_json(args.json, content)


def _chosen(beginnings: Sequence[str], command: str | None) -> list[Key]:
    """Return the keys with any of the given beginnings that a command uses; default is all.

    Raises:
        ConfigError: if no key has one of the beginnings.
    """
    for beginning in beginnings:
        if not any(name.startswith(beginning) for name in KEYS):
            raise ConfigError(
                f"No configuration key begins with {shown(beginning)}. {suggestion(beginning)}"
            )
    commands = ~Command(0) if command is None else Command[command.upper()]
    return [
        key
        for key in KEYS.values()
        if key.commands & commands
        and (not beginnings or any(key.name.startswith(one) for one in beginnings))
    ]


def _described(key: Key) -> str:
    """Describe a key: its name and default, and its other properties below them."""
    facts = _facts(key)
    changes = f"the {', the '.join(facts['changes'])}" if facts["changes"] else "no result"
    about = (
        f"{key.about[0].upper()}{key.about[1:]} ({facts['values']}). "
        f"Used by {', '.join(facts['commands'])}; changes {changes}."
    )
    lines = textwrap.wrap(about, 96, initial_indent="    ", subsequent_indent="    ")
    if isinstance(key.default, list):
        default = f"{key.name}: [{', '.join(map(str, key.default))}]"
    else:
        default = yaml_text({key.name: key.default}).strip()
    return "\n".join([default, *lines])


def _facts(key: Key) -> dict[str, Any]:
    return {
        "default": key.default,
        "about": key.about,
        "values": key.kind.range,
        "commands": [word_of(command) for command in Command if command & key.commands],
        "changes": [word for scope, word in _CHANGES.items() if scope & key.scope],
    }
