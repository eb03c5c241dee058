"""``nr3d zoo``: the published methods side by side."""

from __future__ import annotations

import argparse
from pathlib import Path

from nr3d.cli.output import add_json_option, write_json
from nr3d.config import Command, refuse_unused, write_text
from nr3d.errors import ConfigError


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--methods",
        default="",
        metavar="NAME,NAME",
        help="methods, or names of networks from `nr3d models` (default: all of the paper's table)",
    )
    parser.add_argument(
        "--measure",
        action="store_true",
        help="also measure speed and memory on this machine; takes minutes",
    )
    parser.add_argument(
        "--train",
        metavar="NAME|FILE",
        help="train and test every method by this configuration's rules; run again, it goes on "
        "where it stopped",
    )
    parser.add_argument("--root", metavar="DIR", help="folder of the datasets to train on")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("log/zoo"),
        metavar="DIR",
        help="folder of the runs (default: %(default)s)",
    )
    parser.add_argument("--seeds", default="0", metavar="SEED,SEED", help="seeds (default: 0)")
    parser.add_argument(
        "--small", action="store_true", help="train the methods' smaller networks (ResNet-18)"
    )
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        help="factor of each method's own frame size, for small machines (default: 1)",
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write it as Markdown")
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write it as a page of HTML")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="also draw mAP against cost, as SVG"
    )
    parser.add_argument(
        "changes",
        nargs="*",
        metavar="KEY VALUE",
        help="keys of the configuration of --train to change for all methods",
    )
    add_json_option(parser)


def run(args: argparse.Namespace) -> None:
    """Print the tables, and write them where that is asked for."""
    if args.train is None:
        refused = [
            *(["KEY VALUE pairs"] if args.changes else []),
            *(["--root"] if args.root else []),
            *(["--small"] if args.small else []),
            *(["--plot"] if args.plot else []),
        ]
        if refused:
            raise ConfigError(
                f"{', '.join(refused)} without --train, expected with a configuration to train by"
            )
    from dataclasses import replace

    from nr3d import zoo
    from nr3d.zoo.plot import draw, figure_class

    if args.plot is not None:
        figure_class()  # before the hours of the trainings
    names = [name for name in args.methods.split(",") if name]
    chosen = [zoo.method_of(name) for name in names] or zoo.methods()
    trained: list[zoo.Trained] = []
    plans = []
    if args.train is not None:
        root = [] if args.root is None else ["data.root", args.root]
        refuse_unused(args.changes, Command.TRAIN)
        rules = (args.train, args.out, [*root, *args.changes])
        seeds = _seeds(args.seeds)
        options = {"small": args.small, "scale": args.scale}
        plans = [zoo.plan_of(method, seeds[0], *rules, **options) for method in chosen]
        trained = zoo.train_all(chosen, seeds, *rules, **options)
    rows = zoo.rows_of(chosen, plans)
    if args.measure:
        for number, row in enumerate(rows):
            measured = zoo.measure(row.network, row.frames, row.height, row.width)
            rows[number] = replace(row, measured=measured)
    text = zoo.as_markdown(rows, trained)
    print(text, end="")
    picture = ""
    if args.plot is not None:
        picture = draw(rows, trained)
        write_text(args.plot, picture)
    if args.markdown is not None:
        write_text(args.markdown, text)
    if args.html is not None:
        write_text(args.html, zoo.as_html(rows, trained, picture[picture.find("<svg") :]))
    write_json(args.json, zoo.as_mapping(rows, trained))


def _seeds(text: str) -> list[int]:
    """Return the seeds that a text names, as 0,1,2."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise ConfigError(f"--seeds is {text!r}, expected whole numbers such as 0,1,2")
    return [int(part) for part in parts]
