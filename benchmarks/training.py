"""Time training steps of torchreid's stock engine and of nr3d's, in turn and in one process.

    python benchmarks/training.py --machine "2 cores of an AMD EPYC" --out results/training

Both train the same network on the same batch: torchreid's VideoTripletEngine unchanged, in float32,
and nr3d's VideoNot3DEngine with its defaults. The batch is in memory; a step is forward pass, loss,
backward pass and optimizer. The share relates the network, which takes 6.31 GFLOP per frame of
224 x 112 and three times as much in training, to the rate of the device's matrix products in the
same run.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from reporting import in_turn, matrix_rate, parser_of, ratio, write

from nr3d.data import ClipDataManager
from nr3d.engine import StepOptions, VideoNot3DEngine
from nr3d.features import PRECISIONS
from nr3d.host import torchreid
from nr3d.losses import Not3DLoss
from nr3d.synthetic import write_mars

FLOP_A_FRAME = 6.31e9
IDENTITIES = 625


def peak_of(step: Callable[[], object], device: torch.device) -> float:
    """Return the peak memory during a step in bytes, of the GPU or of the whole process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        step()
        return float(torch.cuda.max_memory_allocated())
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    step()
    status = Path("/proc/self/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return 1024.0 * int(kilobytes)


def slowest(step: Callable[[], object], count: int = 8) -> list[tuple[str, float]]:
    """Return the operations in which a step spends most of its time, with their shares."""
    with torch.profiler.profile(acc_events=True) as profile:
        step()
    on_gpu = torch.cuda.is_available()
    times = {
        event.key: event.self_device_time_total if on_gpu else event.self_cpu_time_total
        for event in profile.key_averages()
    }
    total = sum(times.values())
    ranked = sorted(times.items(), key=lambda item: -item[1])[:count]
    return [(name, time / total) for name, time in ranked]


def engines(args: Any, root: Path) -> tuple[Any, Any, dict[str, Any]]:
    """Return torchreid's engine, nr3d's, and a batch of the requested size."""
    common: dict[str, Any] = {"root": str(root), "sources": "mars", "height": 224, "width": 112}
    sizes = {"batch_size_train": 4, "seq_len": args.frames, "workers": 0, "num_instances": 2}
    stock = torchreid.data.VideoDataManager(
        **common, **sizes, train_sampler="RandomIdentitySampler", batch_size_test=1
    )
    torch.manual_seed(0)
    found = []
    for loss in ("triplet", "not3d"):
        model = torchreid.models.build_model(
            args.model, IDENTITIES, loss=loss, pretrained=False, use_gpu=torch.cuda.is_available()
        )
        if loss == "triplet" and torch.cuda.is_available():
            model = torch.nn.DataParallel(model).cuda()  # as torchreid's scripts do
        optimizer = torchreid.optim.build_optimizer(model, optim="adam", lr=3.5e-4)
        if loss == "triplet":
            found.append(
                torchreid.engine.VideoTripletEngine(
                    stock, model, optimizer, use_gpu=torch.cuda.is_available()
                )
            )
        else:
            for group in optimizer.param_groups:
                group["fused"] = True
            options = StepOptions(precision=args.precision, compile=args.compile)
            found.append(
                VideoNot3DEngine(
                    ClipDataManager(**common, **sizes),
                    model,
                    optimizer,
                    criterion=Not3DLoss(IDENTITIES, model.feature_dim),
                    options=options,
                )
            )
    people = max(1, args.clips // 4)
    batch = {
        "img": torch.randn(args.clips, args.frames, 3, 224, 112),
        "pid": torch.arange(people).repeat_interleave(4)[: args.clips],
        "camid": torch.zeros(args.clips, dtype=torch.long),
        "erased": (torch.rand(args.clips, args.frames) < 0.5).float(),
    }
    for engine in found:
        engine.set_model_mode("train")
        engine.epoch, engine.max_epoch, engine.batch_idx, engine.num_batches = 0, 1, 0, 1
    return found[0], found[1], batch


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--model", default="nr3d_resnet50_ibn")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    parser.add_argument(
        "--compile", action="store_true", help="compile the trunk with torch.compile"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = write_mars(folder, identities=8, frames=(2, 2)).root
        with contextlib.redirect_stdout(io.StringIO()):  # torchreid prints its data
            stock, ours, batch = engines(args, root)
    torch.backends.cudnn.benchmark = True  # as torchreid's scripts do
    device = ours.device

    def side(engine: Any) -> Callable[[], object]:
        return lambda: engine.forward_backward(dict(batch))

    theirs, own = in_turn(args.rounds, side(stock), side(ours))
    faster = ratio(theirs, own)
    flop = 3 * FLOP_A_FRAME * args.clips * args.frames
    size = 8192 if device.type == "cuda" else 2048
    rows = []
    for name, engine, seconds, dtype in (
        ("torchreid VideoTripletEngine", stock, theirs, torch.float32),
        ("nr3d VideoNot3DEngine", ours, own, ours.precision.dtype),
    ):
        middle = statistics.median(seconds)
        rows.append(
            {
                "engine": name,
                "type": str(dtype).removeprefix("torch."),
                "clips_per_second": args.clips / middle,
                "peak_bytes": peak_of(side(engine), device),
                "share_of_matrix_rate": flop / middle / matrix_rate(device, dtype, size),
            }
        )
    profile = slowest(side(ours))
    lines = [
        f"{args.model}, {args.clips} clips of {args.frames} frames, 224 x 112, a step at a time:",
        "",
        "| engine | type | clips/s | peak memory | of the matrix rate |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['engine']} | {row['type']} | {row['clips_per_second']:.2f} "
            f"| {row['peak_bytes'] / 2**30:.2f} GiB | {row['share_of_matrix_rate']:.0%} |"
        )
    lines += [
        "",
        f"nr3d is {faster['median']:.2f} times as fast (least {faster['least']:.2f}, greatest "
        f"{faster['greatest']:.2f}, {args.rounds} pairs). Its step spends most of its time in "
        + ", ".join(f"`{name}` {share:.0%}" for name, share in profile[:5])
        + ".",
    ]
    figures = {
        "settings": {"model": args.model, "clips": args.clips, "frames": args.frames},
        "compiled": args.compile,
        "rows": rows,
        "ratio": faster,
        "profile": profile,
        "seconds": {"torchreid": theirs, "nr3d": own},
    }
    write(args.out, args.machine, "\n".join(lines), figures)


if __name__ == "__main__":
    main()
