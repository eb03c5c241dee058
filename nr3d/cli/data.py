"""``nr3d data``: check a dataset, make its splits, convert a tree of frames or named images."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nr3d.cli.configured import add_root_option
from nr3d.cli.output import add_json_option, progress_bar, write_json
from nr3d.config import load_config
from nr3d.data.converted.patterns import BY
from nr3d.data.datasets.parts import KINDS, NO_VIDEO, PSEUDO
from nr3d.data.datasets.splits import PRID2011_MIN_FRAMES
from nr3d.errors import ConfigError, DataError, printable

if TYPE_CHECKING:
    from nr3d.checking import Report
    from nr3d.data.converted.writing import Conversion

_SHOWN = 6
"""Maximum number of places of a finding to print; ``--json`` holds all."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    checking = actions.add_parser(
        "check", help="layout, counts, tables, splits, frame order, unreadable frames"
    )
    checking.add_argument(
        "dataset",
        metavar="DATASET",
        help="mars, prid2011, ilidsvid, or the folder of a converted dataset",
    )
    add_root_option(checking)
    checking.add_argument("--quick", action="store_true", help="decode no frame")
    add_json_option(checking)
    checking.set_defaults(action=_check)

    splitting = actions.add_parser("splits", help="make PRID2011's missing file of 10 half splits")
    splitting.add_argument("dataset", choices=["prid2011"])
    add_root_option(splitting)
    splitting.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="S",
        help="seed; the same seed gives the same file (default: %(default)s)",
    )
    splitting.add_argument(
        "--min-frames",
        type=int,
        default=PRID2011_MIN_FRAMES,
        metavar="N",
        help="least number of frames that a person has under each camera (default: %(default)s)",
    )
    _add_replace(splitting)
    splitting.set_defaults(action=_splits)

    converting = actions.add_parser(
        "convert",
        help="turn a tree identity/camera/tracklet/frame, or images named by person and camera, "
        "into a dataset, in place",
    )
    converting.add_argument(
        "folder",
        metavar="DIR",
        type=Path,
        help="folder that holds the folders of the identities, or with --pattern the images",
    )
    converting.add_argument(
        "--pattern",
        default="",
        metavar="NAME|REGEX",
        help="how the paths of the images under DIR say what they show: market1501, dukemtmcreid, "
        "msmt17, or a regular expression of the whole path with the groups person, camera and, if "
        "there are such, sequence, tracklet and frame; the images become pseudo-tracklets",
    )
    converting.add_argument(
        "--by",
        default="",
        choices=BY,
        help="what the images of a person are grouped by (default: tracklet if the pattern has "
        "such a group, else camera)",
    )
    converting.add_argument(
        "--min-frames",
        type=int,
        default=1,
        metavar="N",
        help="least number of frames of a tracklet; shorter ones are left out (default: "
        "%(default)s)",
    )
    converting.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="S",
        help="seed; the same tree and seed give the same dataset (default: %(default)s)",
    )
    converting.add_argument(
        "--train-share",
        type=float,
        default=0.5,
        metavar="X",
        help="share of the identities to train on, from 0 to 1 (default: %(default)s)",
    )
    only = converting.add_mutually_exclusive_group()
    for purpose in ("train", "test"):
        only.add_argument(
            f"--{purpose}-only",
            dest="purpose",
            action="store_const",
            const=purpose,
            default="both",
            help=f"{purpose} on all identities",
        )
    _add_replace(converting)
    converting.set_defaults(action=_convert)
    for action in actions.choices.values():
        action.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )


def _add_replace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--replace", action="store_true", help="overwrite an existing file")


def run(args: argparse.Namespace) -> None:
    """Run the action."""
    args.action(args)


def _check(args: argparse.Namespace) -> None:
    from nr3d.checking import check_dataset

    progress = progress_bar("Decoding", "frame")
    report = check_dataset(args.dataset, args.root, quick=args.quick, progress=progress)
    print(describe(report))
    write_json(args.json, report.to_mapping())
    errors = report.of("error")
    if errors:
        first = "" if len(errors) == 1 else ", first"
        raise DataError(
            f"{args.dataset} has {_number(len(errors), 'error')}{first}: {errors[0].what}. Fix it "
            "as described and check again."
        )


def describe(report: Report) -> str:
    """Format a report: the counts, then the findings by level."""
    from nr3d.checking import LEVELS

    lines = [f"{report.dataset} in {report.folder}"]
    width = max((len(name) for name in report.counts), default=0)
    for name, count in report.counts.items():
        published = report.published.get(name)
        beside = f"  published {published:>9,}" if published is not None else ""
        lines.append(f"  {name:<{width}} {count:>9,}{beside}")
    if report.decoded:
        lines.append(f"  {_number(report.decoded, 'frame')} decoded")
    for level in LEVELS:
        for finding in report.of(level):
            number = f", {_number(len(finding.places), 'place')}" if finding.places else ""
            lines += ["", f"{level}{number}: {finding.what}"]
            lines += [f"    {place}" for place in finding.places[:_SHOWN]]
            if len(finding.places) > _SHOWN:
                lines.append(f"    and {len(finding.places) - _SHOWN:,} more")
            lines.append(f"  remedy: {finding.remedy}")
    found = [_number(len(report.of(level)), level) for level in LEVELS if report.of(level)]
    lines += ["", ", ".join(found) if found else "Nothing is wrong with it."]
    return "\n".join(lines)


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _people(count: int) -> str:
    return f"{count:,} {'person' if count == 1 else 'people'}"


def _splits(args: argparse.Namespace) -> None:
    from nr3d.data import write_prid2011_splits

    path, people = write_prid2011_splits(
        args.root, args.seed, min_frames=args.min_frames, replace=args.replace
    )
    print(f"{path}: 10 splits of {people} people, {people - people // 2} to train and ", end="")
    print(f"{people // 2} to test each")
    print(f"Drawn with seed {args.seed}: figures on them are not those on the published splits.")


def _convert(args: argparse.Namespace) -> None:
    from nr3d.data import convert

    made = convert(
        args.folder,
        args.seed,
        args.train_share,
        pattern=args.pattern,
        by=args.by,
        min_frames=args.min_frames,
        purpose=args.purpose,
        replace=args.replace,
    )
    print("\n".join(described(made, args.min_frames)))


def described(made: Conversion, min_frames: int = 1) -> list[str]:
    """Return the lines that say what a conversion made, what it left out, and how to go on.

    Args:
        made: the conversion.
        min_frames: least number of frames of a tracklet that it was made with.
    """
    tracklets = "pseudo-tracklets" if made.pseudo else "tracklets"
    train = f"{made.train_identities} identities to train ({made.train_tracklets} {tracklets})"
    others = "others" if made.train_identities else "identities"
    test = (
        f"{made.test_identities} {others} to test ({made.query} query and {made.gallery} gallery "
        f"{tracklets})"
    )
    parts = [train] * bool(made.train_identities) + [test] * bool(made.test_identities)
    lines = [
        f"{made.index}: {', '.join(parts)}, {made.cameras} cameras, {made.frames} frames",
    ]
    if made.pseudo:
        lines.append(f"Pseudo-tracklets, {KINDS[PSEUDO]} in the order of time: {NO_VIDEO}.")
    left_out = []
    if made.short:
        only = f", the only ones of {_people(made.lost)}" if made.lost else ""
        left_out.append(
            f"{_number(made.short, 'tracklet')} of fewer than {min_frames} frames{only}"
        )
    if made.alone:
        left_out.append(f"{_people(made.alone)} who would be under one camera only")
    if made.junk:
        left_out.append(f"{_number(made.junk, 'image')} that the pattern marks as junk")
    if made.unmatched:
        count = _number(len(made.unmatched), "image")
        left_out.append(f"{count} of other names: {_some(made.unmatched)}")
    lines += [f"Left out: {what}." for what in left_out]
    if made.lone_images:
        lines.append(
            f"Distractors: {_number(made.lone_images, 'image')} of nobody in particular, each a "
            "gallery tracklet of one frame."
        )
    if made.skipped:
        lines.append(
            f"{len(made.skipped):,} files and folders are not frames and were left out: "
            f"{_some(made.skipped)}."
        )
    if made.distractors:
        lines.append(
            f"Of the identities to test, {made.distractors} appear under one camera only: they are "
            "in the gallery, but not among the queries."
        )
    root = shlex.quote(str(made.index.parent.parent))
    lines.append(f"Check it:    nr3d data check {shlex.quote(made.name)} --root {root}")
    if made.train_identities and made.test_identities:
        lines.append(f"Train on it: {training_command(made, root)}")
    return lines


def _some(paths: Sequence[str]) -> str:
    """Return the first few of many paths as one text."""
    others = len(paths) - _SHOWN
    more = f" and {others:,} more" if others > 0 else ""
    return f"{printable(', '.join(paths[:_SHOWN]), 1000)}{more}"


def training_command(made: Conversion, root: str) -> str:
    """Return a command that trains on a converted dataset of any name and size."""
    name = f"[{made.name}]"
    cfg = load_config("synthetic")
    try:
        plain = load_config("synthetic", ["data.sources", name]).data.sources == [made.name]
    except ConfigError:
        plain = False
    word = f'"{name}"' if plain else shlex.quote(str([made.name]))
    words = ["nr3d train --config synthetic --root", root]
    words += ["data.sources", word, "data.targets", word]
    instances = cfg.sampler.num_instances
    if made.train_identities * instances < cfg.train.batch_size:
        words += ["train.batch_size", str(made.train_identities * instances)]
    return " ".join(words)
