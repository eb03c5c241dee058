r"""Train the method, and the method without each of its parts, with several seeds.

    python benchmarks/ablation.py --machine "2 cores" --out benchmarks/results/ablation
    python benchmarks/ablation.py --machine "2 cores" --people reid-data/market \\
        --out benchmarks/results/ablation_people

Without --people, each seed has a drawn dataset of its own, in which half of the frames of nearly
every tracklet are of little use: other people walk in front, and the detector loses the person
(`nr3d synthesize --occlusion heavy`). The truth of each frame is known, so the attention is judged
frame by frame, and an oracle that leaves the occluded frames out shows how much there is to gain.

With --people, the tracklets are those of a folder that `nr3d data convert` made a dataset of.

The figures of a run are appended to OUT.jsonl when it is done, and the same command continues an
interrupted benchmark. With --report, nothing is trained, and OUT.md, OUT.json and OUT.png are
written from the runs in OUT.jsonl.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ablation_judging import judge
from ablation_report import draw, tables
from reporting import parser_of, write

from nr3d.config import load_config
from nr3d.data import ClipTransform
from nr3d.engine import LAST
from nr3d.files.atomic import write_text
from nr3d.runs import building, training
from nr3d.synthetic import read_occlusion, write_mars

LIVE = ["not3d.attention", "live"]

VARIANTS: dict[str, tuple[str, list[str]]] = {
    "live": ("full recipe, live attention", LIVE),
    "paper": ("full recipe, attention as published", ["not3d.attention", "paper"]),
    "mean": (
        "mean instead of attention",
        ["not3d.attention", "paper", "model.aggregation", "mean"],
    ),
    "no_erasing_attention": (
        "live, no erasing-attention loss",
        [*LIVE, "not3d.erasing_attention_weight", "0.0"],
    ),
    "no_center": ("live, no center loss", [*LIVE, "not3d.center_weight", "0.0"]),
    "triplet": ("live, triplet instead of ranked list", [*LIVE, "not3d.metric_loss", "triplet"]),
    "no_ibn": ("live, no IBN", [*LIVE, "model.name", "nr3d_resnet18"]),
    "rate_0.001": ("live, rate × 0.001", [*LIVE, "not3d.attention_lr_mult", "0.001"]),
    "rate_0.1": ("live, rate × 0.1", [*LIVE, "not3d.attention_lr_mult", "0.1"]),
    "kaiming": ("live, Kaiming initialisation", [*LIVE, "not3d.attention_init", "kaiming"]),
}
"""Variants by name: title in the tables, and changes to the configuration."""

DRAWN: dict[str, Any] = {
    "occlusion": "heavy",
    "camera_shift": 0.5,
    "cameras": 4,
    "tracklets_per_camera": 2,
    "frames": (8, 8),
}
"""Arguments of ``write_mars`` besides place, identities and seed."""


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that all runs of a benchmark must share."""
    shared = {"epochs": args.epochs, "size": [args.height, args.height // 2]}
    if args.people is not None:
        return {"people": args.people.name, "batch": args.batch_size, **shared}
    drawn = {key: list(v) if isinstance(v, tuple) else v for key, v in DRAWN.items()}
    return {"identities": args.identities, **drawn, "batch": args.batch_size, **shared}


def configuration(variant: str, seed: int, args: argparse.Namespace) -> Any:
    """Return the ``synthetic`` recipe with random erasing, changed as a variant requires."""
    name = "mars" if args.people is None else args.people.name
    root = args.work / f"data-seed{seed}" if args.people is None else args.people.parent
    steps = sorted({max(1, round(args.epochs * share)) for share in (2 / 3, 8 / 9)})
    changes = [
        *("data.root", str(root), "data.sources", f"[{name}]", "data.targets", f"[{name}]"),
        *("data.save_dir", str(args.work / f"{variant}-seed{seed}"), "train.seed", str(seed)),
        *("data.height", str(args.height), "data.width", str(args.height // 2)),
        *("data.transforms", "[random_flip, random_crop, random_erase]"),
        *("train.batch_size", str(args.batch_size)),
        *("train.max_epoch", str(args.epochs), "train.stepsize", str(steps)),
        *("test.precision", "float32"),
    ]
    return load_config("synthetic", [*changes, *VARIANTS[variant][1]])


def run(variant: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Train a variant on the dataset of a seed, or take up its training again, and judge it."""
    cfg = configuration(variant, seed, args)
    hidden = None
    if args.people is None:
        write_mars(cfg.data.root, args.identities, seed, **DRAWN)
        shares = read_occlusion(Path(cfg.data.root) / "mars")
    folder = Path(cfg.data.save_dir)
    cfg.defrost()
    if (folder / LAST).is_file():
        cfg.model.resume = str(folder / LAST)
    else:
        shutil.rmtree(folder, ignore_errors=True)  # left before the first checkpoint
    outcome = training.train(cfg)
    query, gallery = next(iter(outcome.tracklets.values()))
    if args.people is None:
        paths = [path for paths, *_ in (*query, *gallery) for path in paths]
        hidden = {path: shares[Path(path).name] for path in paths}

    cfg.model.resume, cfg.model.load_weights = "", str(folder / LAST)
    people = len({pid for _, pid, *_ in building.build_datamanager(cfg).train_tracklets})
    transform = ClipTransform(cfg.data.height, cfg.data.width)
    model = building.build_model(cfg, people, training=False)
    figures = judge(model, query, gallery, transform, cfg.video.seq_len, hidden)
    shutil.rmtree(folder)
    return {
        "variant": variant,
        "seed": seed,
        **figures,
        "seconds": outcome.seconds,
        "settings": settings_of(args),
    }


def read_runs(path: Path, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Read the completed runs and refuse those with other settings."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    # an incomplete last line was being written when the benchmark was interrupted
    runs = [json.loads(line) for line in lines[:-1]]
    for found in runs:
        if found["settings"] != settings:
            raise SystemExit(
                f"{path} holds runs with {found['settings']} instead of {settings}: use those "
                "settings, or give another --out."
            )
    if lines[-1]:
        write_text(path, "".join(f"{line}\n" for line in lines[:-1]))
    return runs


def report(runs: Sequence[Mapping[str, Any]], args: argparse.Namespace) -> None:
    """Write the tables, the figures and the plot of the completed runs."""
    names = {variant: title for variant, (title, _) in VARIANTS.items()}
    figures = {"settings": settings_of(args), "runs": list(runs)}
    write(args.out, args.machine, tables(runs, names), figures)
    draw(runs, names, args.out.with_suffix(".png"))


def parse() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 4, 5, 6])
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--people", type=Path, help="folder of a converted dataset")
    parser.add_argument(
        "--identities", type=int, default=80, help="number of drawn people; half of them train"
    )
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--height", type=int, default=64, help="in pixels; the width is half of it")
    parser.add_argument("--batch-size", type=int, default=32, help="clips in a batch")
    parser.add_argument(
        "--work", type=Path, help="folder of datasets and checkpoints (default: OUT.work)"
    )
    parser.add_argument("--report", action="store_true", help="write the report and train nothing")
    args = parser.parse_args()
    if args.out is None:
        parser.error("--out is required: the runs are kept in OUT.jsonl")
    args.people = args.people and args.people.absolute()
    args.work = args.work or args.out.with_suffix(".work")
    return args


def main() -> None:
    args = parse()
    kept = args.out.with_suffix(".jsonl")
    runs = read_runs(kept, settings_of(args))
    done = {(found["seed"], found["variant"]) for found in runs}
    wanted = [(seed, variant) for seed in args.seeds for variant in args.variants]
    for seed, variant in [] if args.report else wanted:
        if (seed, variant) in done:
            continue
        runs.append(run(variant, seed, args))
        kept.parent.mkdir(parents=True, exist_ok=True)
        with kept.open("a", encoding="utf-8") as file:
            file.write(json.dumps(runs[-1]) + "\n")
        print(json.dumps(runs[-1]), flush=True)
    if not runs:
        raise SystemExit(
            f"{kept} has no completed run to report: leave out --report to train some."
        )
    report(runs, args)


if __name__ == "__main__":
    main()
