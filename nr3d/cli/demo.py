"""``nr3d demo``: a trained model and a picture of its ranking, from scratch and in minutes."""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

from nr3d.cli.output import add_json_option, results_table, write_json
from nr3d.cli.synthesize import describe, draw
from nr3d.config import load_config
from nr3d.files.atomic import sole_writer

IDENTITIES = 160
FRAMES = (4, 6)
PICTURED_QUERIES = 6


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("nr3d-demo"),
        metavar="DIR",
        help="folder to write to (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="S",
        help="seed of the dataset and of the training (default: %(default)s)",
    )
    add_json_option(parser)


def run(args: argparse.Namespace) -> None:
    """Draw a dataset, test and train on it, test again and show the ranking."""
    out: Path = args.out / f"seed{args.seed}"
    with sole_writer(out):
        _run(args, out)


def _run(args: argparse.Namespace, out: Path) -> None:
    from nr3d.engine import BEST
    from nr3d.report import draw_ranking, save_picture
    from nr3d.runs.testing import evaluate_weights
    from nr3d.runs.training import train

    started = time.perf_counter()
    summary = draw(out / "data", IDENTITIES, args.seed, FRAMES)
    print(describe(summary))
    # A demo is the same every time, so it replaces its own earlier run.
    shutil.rmtree(out / "run", ignore_errors=True)
    changes = ["data.root", str(out / "data"), "data.save_dir", str(out / "run")]
    cfg = load_config("synthetic", [*changes, "train.seed", str(args.seed)])

    before = evaluate_weights(cfg)
    after = train(cfg)
    (name,) = after.results

    picture = out / "ranking.png"
    query, gallery = after.tracklets[name]
    step = max(1, len(query) // PICTURED_QUERIES)
    result = after.results[name]
    drawing = draw_ranking(
        after.distances[name],
        query,
        gallery,
        topk=5,
        rows=range(0, len(query), step)[:PICTURED_QUERIES],
        title=f"Synthetic MARS, trained: rank-1 {result.rank1:.1%}, mAP {result.mAP:.1%}",
    )
    save_picture(drawing, picture)
    seconds = time.perf_counter() - started
    print()
    print(results_table([("untrained", before.results[name]), ("trained", result)]))
    print(f"Ranking:    {picture}")
    print(f"Weights:    {out / 'run' / BEST}")
    print(f"In all:     {seconds:.0f} s")
    write_json(
        args.json,
        {"before": before.summary(), "after": after.summary(), "seed": args.seed}
        | {"ranking": str(picture), "seconds": seconds},
    )
