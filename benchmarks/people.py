r"""Test networks and baselines on real people whom none of them was trained on.

    python benchmarks/people.py --machine "2 cores" --out benchmarks/results/people \
        --market reid-data/market_people --others reid-data/other_people \
        --osnet Multitarget-tracker/data/reid/osnet_x0_25_msmt17.onnx \
        --weights log/people/model-best.pth.tar

The people are those of Market-1501. Their images are single frames from six cameras, which nr3d
groups into pseudo-tracklets: what one camera saw of one person, in the order of time. Such
tracklets are short and their frames far apart, so that no figure here compares with one on MARS.

The images are in two public repositories, and OSNet's weights in a third:

    git clone https://github.com/parth1620/Person-Re-Id-Dataset   # train: 12,936 images, 751 people
    git clone https://github.com/sagar-grv/Siamese-Person-ReID    # web/public/gallery: 854, 100
    git clone https://github.com/Smorodov/Multitarget-tracker     # data/reid: osnet_x0_25_msmt17
    mkdir reid-data
    cp -r Person-Re-Id-Dataset/train reid-data/market_people
    cp -r Siamese-Person-ReID/web/public/gallery reid-data/other_people
    nr3d data convert reid-data/market_people --pattern market1501 --min-frames 2 --seed 0
    nr3d data convert reid-data/other_people --pattern market1501 --by sequence --test-only

Market-1501's images are for academic use. Keep them, and networks trained on them, to yourself.

Of the first folder's people, half are held out: their tracklets are tested on, and the weights of
--weights must have been trained on none of them, as nr3d train does on this dataset. The others are
100 more people of Market-1501. Every network and baseline is tested on the same tracklets, through
nr3d's extraction in float32 and its evaluator.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from people_baselines import Network, colour_histogram, raw_pixels
from people_osnet import INPUT, video_osnet
from people_report import METRICS, PROTOCOLS, tables
from reporting import parser_of, write

from nr3d.data import ClipTransform, FrameLoader, TestTracklets, Tracklet, evenly
from nr3d.data.converted.index import read_index
from nr3d.data.datasets.parts import DISTRACTOR
from nr3d.data.loading import load_dataset
from nr3d.errors import Nr3dError
from nr3d.features import Inference, InferenceOptions, extract
from nr3d.metrics import Labels, rank
from nr3d.runs.building import build_model
from nr3d.runs.testing import config_to_test

FRAMES_AT_ONCE = 32


@dataclass(frozen=True)
class People:
    """A test set.

    Args:
        tracklets: tracklets by ``query`` and ``gallery``.
        made: options of the conversion that made the dataset.
    """

    tracklets: Mapping[str, list[Tracklet]]
    made: Mapping[str, Any]

    def counts(self) -> dict[str, Any]:
        """Return the numbers of people, tracklets and frames, and how the dataset was made."""
        query, gallery = self.tracklets["query"], self.tracklets["gallery"]
        both = [*query, *gallery]
        return {
            "people": len({pid for _, pid, _, _ in both} - {DISTRACTOR}),
            "query": len(query),
            "gallery": len(gallery),
            "frames": sum(len(paths) for paths, *_ in both),
            "converted": dict(self.made),
        }


def read_people(folder: Path, most_frames: int) -> People:
    """Read the test tracklets of a converted dataset.

    Args:
        folder: folder of the dataset.
        most_frames: largest number of frames of a tracklet to use, spread evenly; 0 for all.

    Raises:
        DataError: if the folder holds no converted dataset.
    """
    folder = folder.absolute()
    index = read_index(folder)
    dataset = load_dataset(folder.name, folder.parent, 0, combineall=False)
    tracklets = {"query": dataset.query, "gallery": dataset.gallery}
    if not all(tracklets.values()):
        raise SystemExit(f"{folder} has no people to test: convert it without --train-only.")
    if most_frames:
        tracklets = {
            part: [_shortened(tracklet, most_frames) for tracklet in own]
            for part, own in tracklets.items()
        }
    return People(tracklets, index.made)


def _shortened(tracklet: Tracklet, most_frames: int) -> Tracklet:
    paths, *labels = tracklet
    if len(paths) <= most_frames:
        return tracklet
    # Of the type of the paths, which says whether their order is that of time.
    kept = type(paths)(paths[i] for i in evenly(len(paths), most_frames))
    return (kept, *labels)  # type: ignore[return-value]


def trained(weights: Path) -> Network:
    """Return a network trained by nr3d, to be tested as its checkpoint says.

    Args:
        weights: a checkpoint, or a name in the weights index.

    Raises:
        Nr3dError: if the weights cannot be used.
    """
    cfg = config_to_test("synthetic", str(weights))
    model = build_model(cfg, 1, training=False).eval()
    norm = (list(cfg.data.norm_mean), list(cfg.data.norm_std))
    place = "/".join(weights.parts[-2:])
    title = f"{cfg.model.name} ({model.aggregation_name}), {place}"
    return Network(title, model, (cfg.data.height, cfg.data.width), norm, cfg.video.seq_len)


def networks(args: argparse.Namespace) -> tuple[list[Network], list[str]]:
    """Return the networks and baselines to test, and remarks on them for the report."""
    found, remarks = [raw_pixels(), colour_histogram()], []
    if args.osnet is None:
        remarks.append("OSNet x0.25 is left out, since no --osnet was given.")
    else:
        model, difference = video_osnet(args.osnet)
        found.append(Network("OSNet x0.25, trained on MSMT17", model, INPUT))
        remarks.append(
            "OSNet x0.25 is torchreid's network with the weights of an ONNX file, whose own "
            f"features differ from it by at most {difference:.1e}."
        )
    found += [trained(weights) for weights in args.weights]
    if not args.weights:
        remarks.append("No network of nr3d's was tested, since no --weights were given.")
    return found, remarks


def figures_of(network: Network, people: People) -> dict[str, Any]:
    """Return the figures of a network on a test set, by protocol and metric."""
    mean, std = network.norm or (None, None)
    transform = ClipTransform(*network.size, norm_mean=mean, norm_std=std)
    inference = Inference(network.model, torch.device("cpu"), InferenceOptions("float32"))
    query, gallery = (
        extract(
            FrameLoader(
                TestTracklets(people.tracklets[part], transform, network.seq_len),
                frames=FRAMES_AT_ONCE,
            ),
            inference,
            name=f"{part}, {network.title}",
        )
        for part in ("query", "gallery")
    )
    sets: dict[str, tuple[torch.Tensor, torch.Tensor, Labels, Labels]] = {
        "query": (query.features, gallery.features, query.labels, gallery.labels)
    }
    features, labels = torch.cat([query.features, gallery.features]), query.labels + gallery.labels
    # A distractor is no query. A tracklet is no answer to itself: it has the query's
    # camera, and is left out with it.
    asking = labels.pids != DISTRACTOR
    sets["every"] = (features[torch.from_numpy(asking)], features, labels[asking], labels)
    return {
        protocol: {metric: _ranked(*sets[protocol], metric) for metric in METRICS}
        for protocol in PROTOCOLS
    }


def _ranked(
    query: torch.Tensor, gallery: torch.Tensor, of_query: Labels, of_gallery: Labels, metric: str
) -> dict[str, Any]:
    found = rank(query, gallery, of_query, of_gallery, dist_metric=metric, details=True)
    ranking = found["torchreid"]
    intervals = ranking.intervals or {}
    return {
        "rank-1": float(ranking.cmc[0]),
        "mAP": ranking.mAP,
        "intervals": {name: intervals[name] for name in ("rank-1", "mAP")},
        "valid_queries": ranking.valid_queries,
        "gallery": ranking.gallery,
    }


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = __doc__
    for name, what in (("market", "Market-1501's training people"), ("others", "100 others")):
        parser.add_argument(
            f"--{name}", type=Path, required=True, help=f"converted dataset of {what}"
        )
    parser.add_argument("--osnet", type=Path, help="ONNX file of OSNet x0.25")
    parser.add_argument(
        "--weights", type=Path, nargs="+", default=[], help="checkpoints of nr3d to test"
    )
    parser.add_argument(
        "--most-frames", type=int, default=0, help="of a tracklet, spread evenly; 0 (default): all"
    )
    args = parser.parse_args(arguments)
    if args.most_frames < 0:
        parser.error(f"--most-frames is {args.most_frames}, expected 0 or more")
    return args


def measure(args: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Test every network on both test sets; return the figures and remarks for the report."""
    people = {
        "held-out": read_people(args.market, args.most_frames),
        "others": read_people(args.others, args.most_frames),
    }
    tested, remarks = networks(args)
    rows = []
    for network in tested:
        figures = {name: figures_of(network, own) for name, own in people.items()}
        rows.append(
            {
                "network": network.title,
                "input": list(network.size),
                "parameters": network.parameters,
                "feature_dim": network.model.feature_dim,
                "figures": figures,
            }
        )
    return {
        "people": {name: own.counts() for name, own in people.items()},
        "most_frames": args.most_frames,
        "networks": rows,
    }, remarks


def main() -> None:
    args = parse()
    try:
        figures, remarks = measure(args)
    except Nr3dError as error:
        raise SystemExit(str(error)) from error
    write(args.out, args.machine, tables(figures, remarks), figures)


if __name__ == "__main__":
    main()
