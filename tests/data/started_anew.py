"""Reads batches in processes that are started anew, not forked, as macOS, Windows and 3.14 do.

Usage: started_anew.py ROOT PACK OUT. Writes into OUT what a training by the command line says, and
whether the batches of each way to start processes are those of none.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import torch

from nr3d.cli import main
from nr3d.data import ClipDataManager, FrameLoader
from nr3d.processes.children import signals_handled

SMALL = [
    *("model.name", "nr3d_resnet18_ibn", "model.pretrained", "False", "train.max_epoch", "1"),
    *("data.height", "32", "data.width", "16", "train.batch_size", "8", "video.seq_len", "2"),
    *("sampler.num_instances", "2", "not3d.warmup_epochs", "0", "test.eval_freq", "-1"),
]


def batches(loader: Any) -> list[torch.Tensor]:
    return [batch["img"] for batch in loader]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) > 0 and all(map(torch.equal, one, other))


def data(root: str, workers: int, **options: Any) -> ClipDataManager:
    return ClipDataManager(
        root=root, sources="mars", height=32, width=16, batch_size_train=8, num_instances=2,
        seq_len=4, workers=workers, use_gpu=False, bad_frames="skip", **options,
    )  # fmt: skip


def run(root: str, pack: str, out: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    multiprocessing.set_start_method("spawn")
    words = ["train", "--config", "synthetic", "--root", "/nowhere", "data.pack", pack, *SMALL]
    words += ["data.workers", "1", "video.sample_method", "evenly"]
    found["train"] = main([*words, "data.save_dir", str(out / "run")])

    multiprocessing.set_start_method("forkserver", force=True)
    multiprocessing.set_forkserver_preload(["nr3d"])  # which is what takes long
    # A process that is started anew knows of the pack by its frames' paths alone.
    packed = data("/nowhere", 0, pack=pack).test_loader["mars"]["gallery"].tracklets
    plain = data(root, 0).test_loader["mars"]["gallery"].tracklets
    alone = batches(FrameLoader(plain, frames=7))
    with signals_handled():  # as in a command
        found["test"] = same(batches(FrameLoader(packed, frames=7, workers=1)), alone)
    options = {"sample_method": "restricted", "cache_frames": True}
    in_one = batches(data(root, 0, **options).train_loader)
    with signals_handled():
        in_others = data(root, 1, **options)
        found["training"] = same(batches(in_others.train_loader), in_one)
    found["bad_frames"] = sorted(in_others.bad_frames)
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[3])
    (folder / "found.json").write_text(json.dumps(run(sys.argv[1], sys.argv[2], folder)))
