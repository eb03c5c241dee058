"""Train the method, and the method without each of its parts, on synthetic MARS with several seeds.

    python benchmarks/ablation.py --machine "2 cores" --out benchmarks/results/ablation

Each seed has a dataset of its own, on which every variant is trained and tested. People and objects
pass in front of the tracked person, and the colours of the cameras differ strongly. After each
training the attention is examined directly: in the test clips that contain both occluded and clean
frames, the mean weight of the occluded frames is divided by that of the clean ones.

The figures of a run are appended to OUT.jsonl when it is done, and the same command continues an
interrupted benchmark. With --report, nothing is trained, and OUT.md, OUT.json and OUT.png are
written from the runs in OUT.jsonl.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ablation_report import draw, tables
from reporting import parser_of, write

from nr3d.config import load_config
from nr3d.data import ClipTransform, FrameLoader, TestTracklets, Tracklet, dense_clips
from nr3d.engine import LAST
from nr3d.features import Inference, InferenceOptions, extract_each
from nr3d.models import VideoReID
from nr3d.runs import building, training
from nr3d.synthetic import read_occlusion, write_mars

VARIANTS: dict[str, tuple[str, list[str]]] = {
    "full": ("full recipe", []),
    "mean": ("mean instead of attention", ["not3d.aggregation", "mean"]),
    "no_erasing_attention": (
        "no erasing-attention loss",
        ["not3d.erasing_attention_weight", "0.0"],
    ),
    "no_center": ("no center loss", ["not3d.center_weight", "0.0"]),
    "triplet": ("triplet instead of ranked list", ["not3d.metric_loss", "triplet"]),
    "no_ibn": ("no IBN", ["model.name", "nr3d_resnet18"]),
}
"""Variants by name: title in the tables, and changes to the configuration."""

OCCLUDED = 0.7
CAMERA_SHIFT = 3.0
CAMERAS = 4
TRACKLETS_PER_CAMERA = 2
FRAMES = (8, 8)

HIDDEN = 0.3
CLEAN = 0.02
"""Hidden fractions of the person: a frame is occluded from HIDDEN on, and clean below CLEAN."""


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that all runs of a benchmark must share."""
    return {
        "identities": args.identities,
        "epochs": args.epochs,
        "occluded": OCCLUDED,
        "camera_shift": CAMERA_SHIFT,
        "cameras": CAMERAS,
        "tracklets_per_camera": TRACKLETS_PER_CAMERA,
        "frames": list(FRAMES),
    }


def configuration(variant: str, seed: int, epochs: int, root: Path, save_dir: Path) -> Any:
    """Return the ``synthetic`` recipe with random erasing, changed as a variant requires."""
    steps = sorted({max(1, round(epochs * share)) for share in (2 / 3, 8 / 9)})
    changes = [
        *("data.root", str(root), "data.save_dir", str(save_dir), "train.seed", str(seed)),
        *("data.transforms", "[random_flip, random_crop, random_erase]"),
        *("train.max_epoch", str(epochs), "train.stepsize", str(steps)),
        *("test.precision", "float32"),
    ]
    return load_config("synthetic", [*changes, *VARIANTS[variant][1]])


def attention_on_occlusion(
    model: VideoReID,
    tracklets: Sequence[Tracklet],
    hidden: Mapping[str, float],
    transform: ClipTransform,
    seq_len: int,
) -> dict[str, float]:
    """Compare the weights of occluded and clean frames within the clips that contain both.

    Args:
        model: trained network.
        tracklets: tracklets of the test set.
        hidden: hidden fraction of the person, 0 to 1, by the file name of the frame.
        transform: test transform.
        seq_len: number of frames in a clip, T.

    Returns:
        dict: averages over the clips: the mean weight of an ``occluded`` and of a ``clean`` frame,
        and their ``ratio``; the ``largest`` weight in a clip; ``flat``, the share of clips whose
        frames all have the same weight; and ``clips``, the number of clips.
    """
    dataset = TestTracklets(tracklets, transform, seq_len)
    inference = Inference(model, torch.device("cpu"), InferenceOptions("float32"))
    found: list[dict[str, float]] = []
    for row in extract_each(FrameLoader(dataset), inference):
        paths = dataset.tracklets[row.index][0]
        clips = torch.tensor(dense_clips(len(paths), seq_len))  # (n, T)
        shares = torch.tensor([hidden[Path(path).name] for path in paths])[clips]
        occluded, clean = shares >= HIDDEN, shares < CLEAN
        both = occluded.any(dim=1) & clean.any(dim=1)
        # A frame that is repeated to fill its clip has the sum of its weights there.
        weights = torch.from_numpy(row.frame_weights) / clips.flatten().bincount()
        weights = weights[clips][both]  # (n, T)
        for weight, dark, light in zip(weights, occluded[both], clean[both], strict=True):
            found.append(
                {
                    "occluded": float(weight[dark].mean()),
                    "clean": float(weight[light].mean()),
                    "largest": float(weight.max()),
                    "flat": float((weight == weight[0]).all()),
                }
            )
    if not found:
        raise SystemExit("No test clip has both occluded and clean frames: use more --identities.")
    means = {key: statistics.fmean(clip[key] for clip in found) for key in found[0]}
    # the ratio of the means, because the clean frames of a single clip may have no weight
    return {"ratio": means["occluded"] / means["clean"], **means, "clips": len(found)}


def run(variant: str, seed: int, args: argparse.Namespace, root: Path) -> dict[str, Any]:
    """Train and test a variant on the dataset of a seed, and measure its attention."""
    save_dir = args.work / f"{variant}-seed{seed}"
    shutil.rmtree(save_dir, ignore_errors=True)  # left by an interrupted run
    cfg = configuration(variant, seed, args.epochs, root, save_dir)
    outcome = training.train(cfg)
    result = outcome.results["mars"]
    query, gallery = outcome.tracklets["mars"]

    trained = cfg.clone()
    trained.defrost()
    trained.model.load_weights = str(save_dir / LAST)
    people = len({pid for _, pid, *_ in building.build_datamanager(cfg).train_tracklets})
    attention = attention_on_occlusion(
        building.build_model(trained, people, training=False),
        [*query, *gallery],
        read_occlusion(root / "mars"),
        ClipTransform(cfg.data.height, cfg.data.width),
        cfg.video.seq_len,
    )
    shutil.rmtree(save_dir)
    return {
        "variant": variant,
        "seed": seed,
        "rank-1": result.rank1,
        "mAP": result.mAP,
        "attention": attention,
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
    path.write_text("".join(f"{line}\n" for line in lines[:-1]), encoding="utf-8")
    return runs


def report(runs: Sequence[Mapping[str, Any]], args: argparse.Namespace) -> None:
    """Write the tables, the figures and the plot of the completed runs."""
    names = {variant: title for variant, (title, _) in VARIANTS.items()}
    figures = {"settings": settings_of(args), "runs": list(runs)}
    write(args.out, args.machine, tables(runs, names), figures)
    draw(runs, names, args.out.with_suffix(".png"))


def parse() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument(
        "--identities", type=int, default=80, help="number of people; half of them train"
    )
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument(
        "--work", type=Path, help="folder of datasets and checkpoints (default: OUT.work)"
    )
    parser.add_argument("--report", action="store_true", help="write the report and train nothing")
    args = parser.parse_args()
    if args.out is None:
        parser.error("--out is required: the runs are kept in OUT.jsonl")
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
        root = args.work / f"data-seed{seed}"
        write_mars(
            root,
            args.identities,
            seed,
            cameras=CAMERAS,
            tracklets_per_camera=TRACKLETS_PER_CAMERA,
            frames=FRAMES,
            occluded=OCCLUDED,
            camera_shift=CAMERA_SHIFT,
        )
        runs.append(run(variant, seed, args, root))
        kept.parent.mkdir(parents=True, exist_ok=True)
        with kept.open("a", encoding="utf-8") as file:
            file.write(json.dumps(runs[-1]) + "\n")
        print(json.dumps(runs[-1]), flush=True)
    report(runs, args)


if __name__ == "__main__":
    main()
