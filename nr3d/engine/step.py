"""One step of training: forward pass, losses, backward pass, and all optimizers."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from nr3d import parallel
from nr3d.engine.attention import AttentionWatch
from nr3d.features.precision import Precision
from nr3d.features.resources import explained
from nr3d.host import torchreid
from nr3d.losses import Criterion


@dataclass(frozen=True)
class StepOptions:
    """Options of the training step that are not part of the method.

    Args:
        precision: number type of the model's passes: ``'auto'``, ``'bf16'``, ``'fp16'`` or
            ``'float32'``; see :class:`Precision`.
        channels_last: whether to store images and kernels with the channels innermost.
        compile: whether to compile the trunk with ``torch.compile``, which needs a C++ compiler or
            a GPU.
        accumulation_steps: number of batches whose gradients make one step of the optimizer.
        checkpoint_steps: number of steps between checkpoints within an epoch; 0 for none.
        gather_features: whether several processes compute the losses of their joint batch.
        sync_norms: whether several processes normalise by the statistics of their joint batch.

    Raises:
        ValueError: if a count is out of its range.
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
    """Training step on one batch, or on several with accumulated gradients.

    Args:
        model: network with the output that the criterion needs, plain or wrapped in
            ``DistributedDataParallel``.
        criterion: training loss.
        optimizer: optimizer of the model's parameters.
        loss_optimizers: optimizers of the criterion's own parameters.
        precision: number type that the model computes in.
        options: options of the step.

    Attributes:
        model: network, which may be replaced by its ``DistributedDataParallel`` wrapper.
        attention: watch over the weights of the network's attention, whose figures the step
            returns too while it watches.
    """

    def __init__(
        self,
        model: nn.Module,
        criterion: Criterion,
        optimizer: Optimizer,
        loss_optimizers: Sequence[Optimizer],
        precision: Precision,
        options: StepOptions,
    ) -> None:
        self.model = model
        self.criterion = criterion
        self.optimizer = optimizer
        self.loss_optimizers = tuple(loss_optimizers)
        self.precision = precision
        self.options = options
        self.attention = AttentionWatch(getattr(model, "module", model))

    def __call__(self, data: Mapping[str, Any], position: int, batches: int) -> dict[str, float]:
        """Take one step, or a part of one when gradients are accumulated.

        Args:
            data: training batch.
            position: position of the batch in its epoch, from 0.
            batches: number of batches of the epoch.

        Returns:
            dict: total loss, each unweighted loss term, and accuracy in percent; with several
            processes, those of their joint batch. While the attention is watched, its figures too.
            If the total is not finite, no optimizer was stepped.
        """
        every = self.options.accumulation_steps
        first = position // every * every
        parts = min(every, batches - first)
        if position == first:
            for optimizer in (self.optimizer, *self.loss_optimizers):
                optimizer.zero_grad()
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
        """Average the gradients over the processes only in the last part of a step."""
        if isinstance(self.model, DistributedDataParallel) and not last:
            waiting: contextlib.AbstractContextManager[None] = self.model.no_sync()
            return waiting
        return contextlib.nullcontext()

    def _losses(self, data: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the total loss of a batch, to backpropagate, and the figures to report."""
        device = self.precision.device
        clips = data["img"].to(device)  # (B, T, 3, H, W)
        wanted = ("pid", *self.criterion.batch_extras)
        batch: dict[str, Tensor] = {key: data[key].to(device) for key in wanted if key in data}
        with self.precision.autocast():
            outputs = self.model(clips)
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        outputs = tuple(output.float() for output in outputs)
        if self.options.gather_features:
            outputs = tuple(map(parallel.gather, outputs))
            batch = {key: parallel.gather(value) for key, value in batch.items()}
        total, terms = self.criterion.losses(outputs, batch)
        summary = {"loss": total.detach()} | {f"loss_{name}": x for name, x in terms.items()}
        accuracy = torchreid.metrics.accuracy(outputs[0].detach(), batch["pid"])[0]
        summary["acc"] = accuracy.reshape(())
        if parallel.world().size > 1 and not self.options.gather_features:
            means = parallel.add_up(torch.stack(list(summary.values()))) / parallel.world().size
            summary = dict(zip(summary, means.unbind(), strict=True))
        frames = clips.shape[1] if clips.dim() == 5 else 1
        erased = data["erased"].to(device) if "erased" in data else None
        return total, summary | self.attention.figures(frames, erased)

    def update(self) -> None:
        """Step all optimizers with the current gradients."""
        scaler = self.precision.scaler
        own = [(each, _gradients_of(each)) for each in self.loss_optimizers]
        for _, gradients in own:
            for gradient in gradients:
                # Equal on all processes, to the last bit.
                mean = parallel.add_up(gradient.contiguous()) / parallel.world().size
                gradient.copy_(mean)
        scaler.step(self.optimizer)
        for optimizer, gradients in own:
            if gradients:
                scaler.step(optimizer)
        scaler.update()


def _gradients_of(optimizer: Optimizer) -> list[Tensor]:
    parameters = (p for group in optimizer.param_groups for p in group["params"])
    return [p.grad for p in parameters if p.grad is not None]


def explained_step() -> contextlib.AbstractContextManager[None]:
    """Add advice to the errors of a training step that lacks memory or a compiler."""
    return explained(
        "train.batch_size",
        compile_key="train.compile",
        more=" Raise train.accumulation_steps by the same factor to keep the clips of a step; "
        "model.resume continues from the last checkpoint.",
    )
