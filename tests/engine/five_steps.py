"""Takes five training steps, alone or as one of the processes that torchrun starts.

Usage: five_steps.py ROOT OUT KEY=VALUE...; writes the losses and the state after the steps to OUT.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import torch

from nr3d import parallel
from nr3d.data import ClipDataManager
from nr3d.engine import StepOptions, TestOptions, VideoNot3DEngine
from nr3d.engine.loop import begin
from nr3d.features import InferenceOptions, extract
from nr3d.host import torchreid
from nr3d.losses import CRITERIA


def main() -> None:
    root, out, *pairs = sys.argv[1:]
    options: dict[str, Any] = {"precision": "float32"}
    options |= {key: json.loads(value) for key, value in (pair.split("=") for pair in pairs)}
    double, watch = options.pop("double", False), options.pop("watch", False)
    loss = CRITERIA[options.pop("loss", "not3d")]
    with parallel.joined(use_gpu=False):
        torch.set_num_threads(1)
        data = ClipDataManager(
            root=root,
            sources="mars",
            height=64,
            width=32,
            batch_size_train=options.pop("batch_size", 16),
            num_instances=2,
            workers=0,
            seq_len=2,
        )
        torch.manual_seed(0)
        model = torchreid.models.build_model(
            "nr3d_resnet18_ibn", data.num_train_pids, loss=loss.model_loss, pretrained=False
        )
        if double:
            model.double()
        optimizer = torch.optim.SGD(model.parameters(), lr=options.pop("lr", 0.01), momentum=0.9)
        test = TestOptions(InferenceOptions("float32"))
        step = StepOptions(**options)
        criterion = loss(data.num_train_pids, model.feature_dim)
        engine = VideoNot3DEngine(
            data, model, optimizer, criterion=criterion, options=step, test_options=test
        )
        begin(engine, 0, out + ".run", freezes=False)
        engine.set_model_mode("train")
        engine.epoch, engine.max_epoch, engine.num_batches = 0, 1, 5
        # Opens every parameter, as torchreid does in each epoch.
        engine.two_stepped_transfer_learning(0, 0, None)
        losses = []
        epochs = (batch for _ in range(5) for batch in engine.train_loader)
        with engine.step.attention.watching() if watch else contextlib.nullcontext():
            for engine.batch_idx, batch in zip(range(5), epochs, strict=False):
                batch["img"] = batch["img"].to(model.classifier.weight.dtype)
                losses.append(engine.forward_backward(batch))
        of_loss = torch.cat([torch.zeros(1), *(p.flatten() for p in criterion.parameters())])
        centers = parallel.of_all(of_loss.detach())
        weights = parallel.of_all(model.classifier.weight.detach())
        engine.model.float()
        engine.set_model_mode("eval")
        gallery = engine.test_loader["mars"]["gallery"]
        found = extract(gallery, engine.inference())
        if parallel.world().first:
            engine.journal.close()
            torch.save(
                {
                    "losses": losses,
                    "state_dict": model.state_dict(),
                    "centers": centers,
                    "weights": weights,
                    "features": found.features,
                    "pids": found.labels.pids.tolist(),
                    "clips": found.clips.tolist(),
                },
                out,
            )


if __name__ == "__main__":
    main()
