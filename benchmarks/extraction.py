"""Time the extraction of features by torchreid's stock test loop and by nr3d, in turn.

    python benchmarks/extraction.py --machine "2 cores of an AMD EPYC" --mars-info MARS/info

Both test the same network on the same tracklets in one process: torchreid's VideoSoftmaxEngine with
every frame of a tracklet (sample_method='all'), in float32 and one tracklet at a time, and nr3d
with its defaults. The lengths of the tracklets are quantiles of those in MARS's test table, so that
a few dozen represent all 12,180; the frames are synthetic. The share relates the network, which
takes 6.31 GFLOP per frame of 224 x 112, to the rate of the device's matrix products in the same
run.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reporting import in_turn, matrix_rate, parser_of, ratio, write
from scipy.io import loadmat

from nr3d.data import ClipDataManager
from nr3d.engine import TestOptions, VideoNot3DEngine
from nr3d.features import Inference, InferenceOptions, extract
from nr3d.host import torchreid
from nr3d.synthetic import write_mars

FLOP_A_FRAME = 6.31e9
IDENTITIES = 625
NAME = "mars_lengths"


def lengths_of(mars_info: Path, count: int) -> list[int]:
    """Return the lengths of ``count`` test tracklets that represent all of MARS's."""
    table = loadmat(mars_info / "tracks_test_info.mat")["track_test_info"]
    lengths = table[:, 1] - table[:, 0] + 1
    places = (np.arange(count) + 0.5) / count
    chosen = np.quantile(lengths, places, method="nearest").astype(int)
    return [int(n) for n in np.random.default_rng(0).permutation(chosen)]


def register(root: Path, lengths: list[int]) -> None:
    """Register a dataset of synthetic frames whose tracklets have the given lengths."""
    files = sorted(str(path) for path in (root / "mars" / "bbox_test").rglob("*.jpg"))
    tracklets, first = [], 0
    for place, length in enumerate(lengths):
        paths = tuple(files[(first + frame) % len(files)] for frame in range(length))
        tracklets.append((paths, place // 4, place % 4, 0))
        first += length

    class Lengths(torchreid.data.VideoDataset):  # type: ignore[misc]
        def __init__(self, root: str = "", **kwargs: Any) -> None:
            query = [each for each in tracklets if each[2] == 0]
            gallery = [each for each in tracklets if each[2] != 0]
            super().__init__(tracklets, query, gallery, **kwargs)

    torchreid.data.register_video_dataset(NAME, Lengths)


def engines(args: Any, root: Path, device_gpu: bool) -> tuple[Any, Any]:
    """Return torchreid's engine and nr3d's, which share the network."""
    common: dict[str, Any] = {"root": str(root), "sources": NAME, "height": 224, "width": 112}
    torch.manual_seed(0)
    model = torchreid.models.build_model(
        args.model, IDENTITIES, loss="not3d", pretrained=False, use_gpu=device_gpu
    ).eval()
    stock_data = torchreid.data.VideoDataManager(
        **common, batch_size_train=4, batch_size_test=1, workers=args.workers, sample_method="all"
    )
    optimizer = torchreid.optim.build_optimizer(model)
    stock_model = torch.nn.DataParallel(model).cuda() if device_gpu else model
    stock = torchreid.engine.VideoSoftmaxEngine(
        stock_data, stock_model, optimizer, use_gpu=device_gpu
    )
    ours = VideoNot3DEngine(
        ClipDataManager(
            **common,
            batch_size_train=4,
            num_instances=2,
            workers=args.workers,
            batch_size_test=args.frames,
        ),
        model,
        optimizer,
        test_options=TestOptions(InferenceOptions(args.precision, args.compile)),
    )
    return stock, ours


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--mars-info", type=Path, required=True, help="MARS's folder of tables")
    parser.add_argument("--model", default="nr3d_resnet50_ibn")
    parser.add_argument("--tracklets", type=int, default=16)
    parser.add_argument("--frames", type=int, default=0, help="of a batch; 0: by the device")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=min(4, os.cpu_count() or 1))
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    on_gpu = torch.cuda.is_available()
    lengths = lengths_of(args.mars_info, args.tracklets)
    total = sum(lengths)
    with tempfile.TemporaryDirectory() as folder:
        root = write_mars(folder, identities=8, frames=(8, 8)).root
        register(root, lengths)
        with contextlib.redirect_stdout(io.StringIO()):  # torchreid prints its data and tests
            stock, ours = engines(args, root, on_gpu)
            tests = [functools.partial(engine.test, ranks=[1]) for engine in (stock, ours)]
            theirs, own = in_turn(args.rounds, *tests)
        inference = ours.inference()
        loader = ours.test_loader[NAME]["gallery"]
        batches = list(loader)
        reading = in_turn(1, lambda: list(loader))[0]
        exact = Inference(ours.model, ours.device, InferenceOptions("float32"))
        pair = [extract(loader, each).features for each in (exact, inference)]
    read = sum(len(batch["img"]) for batch in batches) / min(reading)
    whole = max(batches, key=lambda batch: len(batch["img"]))["img"].to(ours.device)
    images = loader.tracklets.transform.normalise(whole)
    network = in_turn(5, lambda: inference.of_frames(images))[0]
    frames_a_second = len(images) / statistics.median(network)
    size = 8192 if on_gpu else 2048
    rate = matrix_rate(ours.device, inference.precision.dtype, size)
    share = frames_a_second * FLOP_A_FRAME / rate
    cosines = torch.nn.functional.cosine_similarity(*pair)
    centred = torch.nn.functional.cosine_similarity(*(each - each.mean(0) for each in pair))
    faster = ratio(theirs, own)
    kind = inference.precision.name
    readers = "loader processes" if on_gpu else "threads"
    lines = [
        f"{args.model}, {total} frames of {len(lengths)} tracklets with the lengths of MARS's, "
        "224 x 112, read from JPEG files and tested:",
        "",
        "| test loop | type | frames/s |",
        "|---|---|---|",
        f"| torchreid VideoSoftmaxEngine | float32 | {total / statistics.median(theirs):.1f} |",
        f"| nr3d VideoNot3DEngine | {kind} | {total / statistics.median(own):.1f} |",
        "",
        f"nr3d is {faster['median']:.2f} times as fast (least {faster['least']:.2f}, greatest "
        f"{faster['greatest']:.2f}, {args.rounds} pairs). Its network alone reaches "
        f"{frames_a_second:.1f} frames/s, {share:.0%} of the rate of {kind} matrix products; "
        f"reading alone reaches {read:.0f} frames/s with {args.workers} {readers}. The cosine "
        f"similarity of the features to those of float32 is at least {cosines.min():.5f}, and "
        f"{centred.min():.5f} once the mean of the features is subtracted.",
    ]
    figures = {
        "settings": {"model": args.model, "tracklets": len(lengths), "frames": total},
        "workers": args.workers,
        "compiled": args.compile,
        "precision": kind,
        "seconds": {"torchreid": theirs, "nr3d": own},
        "ratio": faster,
        "network_frames_per_second": frames_a_second,
        "share_of_matrix_rate": share,
        "matrix_rate": rate,
        "reading_frames_per_second": read,
        "least_cosine": float(cosines.min()),
        "least_centred_cosine": float(centred.min()),
    }
    write(args.out, args.machine, "\n".join(lines), figures)


if __name__ == "__main__":
    main()
