"""One step of training: forward pass, losses, backward pass, and both optimizers."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from nr3d import parallel
from nr3d.features.precision import Precision
from nr3d.host import torchreid
from nr3d.losses import Not3DLoss


@dataclass(frozen=True)
class StepOptions:
    """How a training step is computed; nothing here is the method's own.

    Args:
        precision: ``'auto'``, ``'bf16'``, ``'fp16'`` or ``'float32'``; see :class:`Precision`.
        channels_last: keep images and kernels with the channels innermost.
        compile: compile the trunk with ``torch.compile``, which needs a C++ compiler or a GPU.
        accumulation_steps: batches whose gradients make one step of the optimizer.
        checkpoint_steps: steps between checkpoints within an epoch; 0 for none.
        gather_features: with several processes, compute the losses of the batch of all of them.
        sync_norms: with several processes, normalise by the batch of all of them.

    Raises:
        ValueError: for a count out of its range.
    """

    precision: str = "auto"
    channels_last: bool = True
    compile: bool = False
    accumulation_steps: int = 1
    checkpoint_steps: int = 0
    gather_features: bool = True
    sync_norms: bool = False

    def __post_init__(self) -> None:
        for name, least in (("accumulation_steps", 1), ("checkpoint_steps", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, expected {least} or more")


class TrainingStep:
    """Learns from a batch, or with accumulation from several.

    Args:
        model: built with ``loss='not3d'``, or that in ``DistributedDataParallel``.
        criterion: its losses.
        optimizer: of the model's parameters.
        center_optimizer: of the centers, whose gradient then does not carry the center loss's
            weight.
        precision: that the model computes in.
        options: how a step is computed.

    Attributes:
        model: may be replaced by the same in ``DistributedDataParallel``.
    """

    def __init__(
        self,
        model: nn.Module,
        criterion: Not3DLoss,
        optimizer: Optimizer,
        center_optimizer: Optimizer,
        precision: Precision,
        options: StepOptions,
    ) -> None:
        self.model = model
        self.criterion = criterion
        self.optimizer = optimizer
        self.center_optimizer = center_optimizer
        self.precision = precision
        self.options = options

    def __call__(self, data: Mapping[str, Any], position: int, batches: int) -> dict[str, float]:
        """Take one step, or with accumulation a part of one.

        Args:
            data: a training batch.
            position: of the batch in its epoch, from 0.
            batches: of the epoch.

        Returns:
            dict: the total, each unweighted loss term and the accuracy in percent; with several
            processes, of the batch of all of them. What is not finite is in it: nothing is then
            stepped.
        """
        every = self.options.accumulation_steps
        first = position // every * every
        parts = min(every, batches - first)
        if position == first:
            self.optimizer.zero_grad()
            self.center_optimizer.zero_grad()
        last = position == first + parts - 1
        with self._averaging(last):
            total, summary = self._losses(data)
            scaled: Any = self.precision.scaler.scale(total / parts)
            scaled.backward()
        found = dict(zip(summary, torch.stack(list(summary.values())).tolist(), strict=True))
        if last and np.isfinite(found["loss"]):
            self.update()
        return found

    def _averaging(self, last: bool) -> contextlib.AbstractContextManager[None]:
        """Average the gradients over the processes at the last part of a step alone."""
        if isinstance(self.model, DistributedDataParallel) and not last:
            waiting: contextlib.AbstractContextManager[None] = self.model.no_sync()
            return waiting
        return contextlib.nullcontext()

    def _losses(self, data: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """Give a batch's total loss to go back from, and what to report of it."""
        device = self.precision.device
        clips, pids = data["img"].to(device), data["pid"].to(device)  # (B, T, 3, H, W), (B,)
        with self.precision.autocast():
            logits, features, scores = self.model(clips)
        erased = data.get("erased")
        erased = torch.zeros_like(scores) if erased is None else erased.to(device)  # (B, T)
        logits, features, scores = logits.float(), features.float(), scores.float()
        if self.options.gather_features:
            logits, features, scores = map(parallel.gather, (logits, features, scores))
            pids, erased = parallel.gather(pids), parallel.gather(erased)
        total, terms = self.criterion(logits, features, scores, pids, erased)
        summary = {"loss": total.detach()} | {f"loss_{name}": x for name, x in terms.items()}
        summary["acc"] = torchreid.metrics.accuracy(logits.detach(), pids)[0].reshape(())
        if parallel.world().size > 1 and not self.options.gather_features:
            means = parallel.add_up(torch.stack(list(summary.values()))) / parallel.world().size
            summary = dict(zip(summary, means.unbind(), strict=True))
        return total, summary

    def update(self) -> None:
        """Step both optimizers by the gradients that are there."""
        scaler = self.precision.scaler
        centers = self.criterion.center_weight > 0
        if centers:
            scaled = [p.grad for p in self.criterion.center.parameters() if p.grad is not None]
            for grad in scaled:
                # Equal on all processes, to the last bit.
                grad.copy_(parallel.add_up(grad.contiguous()) / parallel.world().size)
            scaler.unscale_(self.center_optimizer)
            for grad in scaled:
                grad /= self.criterion.center_weight
        scaler.step(self.optimizer)
        if centers:
            scaler.step(self.center_optimizer)
        scaler.update()
