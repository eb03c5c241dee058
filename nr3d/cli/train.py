"""``nr3d train``: train a model by a configuration, and test it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nr3d.cli.configured import add_config_options, changes_of
from nr3d.cli.output import add_json_option, columns, print_outcome, write_json
from nr3d.config import Command
from nr3d.errors import ConfigError
from nr3d.processes.stopping import Interrupted

if TYPE_CHECKING:
    from nr3d.runs.transfer import Plan


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_config_options(parser, Command.TRAIN)
    parser.add_argument(
        "--splits",
        metavar="all|N[,N...]",
        help="train and test these random splits of PRID2011 or iLIDS-VID, one after the other, "
        "and print mean and standard deviation; run again, it continues where it stopped",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="load the data, make one step, test one tracklet, and estimate time and memory",
    )
    add_json_option(parser)


def run(args: argparse.Namespace) -> None:
    """Train, and print the results and the paths of the checkpoints."""
    from nr3d.engine import LAST
    from nr3d.runs.transfer import load_plan

    plan = load_plan(args.config, changes_of(args, Command.TRAIN))
    try:
        _run(args, plan)
    except Interrupted as stopped:
        own = Path(plan.cfg.data.save_dir)
        if args.splits is not None or (stopped.checkpoint or own / LAST).parent != own:
            # The same command finds the checkpoint of a split, or of the run trained first.
            args.goes_on, stopped.checkpoint = True, None
        raise


def _run(args: argparse.Namespace, plan: Plan) -> None:
    from nr3d.engine import BEST, LAST
    from nr3d.runs import rehearsal, splits, transfer

    if args.dry_run:
        if args.splits is None:
            found = rehearsal.rehearse_plan(plan)
        else:
            found = rehearsal.rehearse_splits(plan, _splits(args.splits))
        if not found:
            print("All splits are finished: there is nothing to train.")
        for name, one in found.items():
            if len(found) > 1:
                print("What is trained first:" if name == "first" else "Then:")
            print(one)
        write_json(args.json, {name: one.to_mapping() for name, one in found.items()})
    elif args.splits is not None:
        summary = splits.train_splits(plan, _splits(args.splits))
        print()
        print(_splits_table(summary))
        print(f"Runs:        {summary['save_dir']}/split*")
        write_json(args.json, summary)
    else:
        outcome = transfer.train_plan(plan)
        print_outcome(outcome)
        print(f"Checkpoints: {outcome.save_dir / BEST} (best rank-1), {outcome.save_dir / LAST}")
        write_json(args.json, outcome.summary())


def _splits(text: str) -> list[int] | None:
    """Return the numbers of the splits; None for all."""
    if text == "all":
        return None
    words = text.split(",")
    if not all(word.strip().isdecimal() for word in words):
        raise ConfigError(f"--splits is {text!r}, expected all, or numbers such as 0 or 0,3,7")
    return [int(word) for word in words]


def _splits_table(summary: Mapping[str, Any]) -> str:
    """Format the splits, one line each, then their mean and deviation, and split 0 again."""
    names = list(summary["mean"])
    rows = [["split", *names]]
    for split in summary["splits"]:
        rows.append([str(split["split"]), *(f"{split[name]:.1%}" for name in names)])
    rows.append(["mean", *(f"{summary['mean'][name]:.1%}" for name in names)])
    if len(summary["splits"]) > 1:
        rows.append(["± std", *(f"{summary['std'][name]:.1%}" for name in names)])
    first = [split for split in summary["splits"] if split["split"] == 0]
    if first and len(summary["splits"]) > 1:
        rows.append(["split 0", *(f"{first[0][name]:.1%}" for name in names)])
    count = len(summary["splits"])
    title = f"{summary['dataset']}, {count} split{'s' if count > 1 else ''}:"
    return f"{title}\n{columns(rows)}"
