"""The processes of one run, as torchrun starts them: who is who, and what they exchange."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from nr3d.errors import Nr3dError
from nr3d.processes.stopping import Interrupted

_LOST_PEER = re.compile(r"gloo|nccl|connection|peer|process group|store", re.IGNORECASE)


@dataclass(frozen=True)
class World:
    """The processes of a run.

    Args:
        rank: this process's number, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0


def world() -> World:
    """Say which process of the run this is; the only one unless they were joined."""
    if dist.is_available() and dist.is_initialized():
        return World(dist.get_rank(), dist.get_world_size())
    return World()


def launched() -> World:
    """Say which process torchrun started this one as, joined or not."""
    if {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys():
        return World(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    return World()


@contextlib.contextmanager
def joined(use_gpu: bool) -> Iterator[World]:
    """Join the other processes of the run for a block; alone where torchrun started only one.

    Each process takes the GPU of its local rank (NCCL), or the processor (gloo).

    Args:
        use_gpu: take GPUs where there are some.

    Yields:
        World: this process's place.

    Raises:
        Nr3dError: if there are fewer GPUs than processes, or another process has ended.
    """
    place = launched()
    if place.size == 1 or world().size > 1:
        yield world()
        return
    on_gpu = use_gpu and torch.cuda.is_available()
    if on_gpu:
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise Nr3dError(
                f"Process {place.rank} would take GPU {local} and this machine has "
                f"{torch.cuda.device_count()}: give torchrun --nproc-per-node "
                f"{torch.cuda.device_count()}."
            )
        torch.cuda.set_device(local)
    try:
        dist.init_process_group("nccl" if on_gpu else "gloo")
        try:
            yield world()
        except Interrupted as stopped:
            if stopped.checkpoint is not None:  # at a point that all agreed on
                dist.destroy_process_group()
            raise
        dist.destroy_process_group()
    except RuntimeError as error:
        # A process group that lost a member is not taken down in order: that could wait for ever.
        if isinstance(error, Nr3dError) or not _LOST_PEER.search(str(error)):
            raise
        raise Nr3dError(
            f"Process {place.rank} of {place.size} cannot reach another process of the run, which "
            f"has ended or lost its network ({str(error).splitlines()[0][:160]}). Its own message "
            "says why; then go on with model.resume and the run's last checkpoint."
        ) from error


class _Gather(torch.autograd.Function):
    """All ranks' tensors, one after the other; each rank's gradient is the sum over all ranks."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        grad = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(grad)
        return grad.chunk(dist.get_world_size())[dist.get_rank()]


def gather(x: Tensor) -> Tensor:
    """Put the tensors of all processes, alike in shape, one after the other.

    The gradient of what each process makes of the whole is summed over the processes, so that
    with gradients averaged over them, as ``DistributedDataParallel`` does, a loss of the whole
    that every process computes gives the gradient of one process with the whole batch.

    Args:
        x: (n, ...), this process's.

    Returns:
        Tensor: (n · world size, ...); ``x`` itself without other processes.
    """
    if world().size == 1:
        return x
    gathered: Tensor = _Gather.apply(x.contiguous())
    return gathered


def add_up(x: Tensor) -> Tensor:
    """Sum a contiguous tensor over the processes, in place and without gradient."""
    if world().size > 1:
        dist.all_reduce(x)
    return x


def greatest(number: int) -> int:
    """Return the greatest of the processes' numbers."""
    if world().size == 1:
        return number
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    x = torch.tensor(number, device=device)
    dist.all_reduce(x, dist.ReduceOp.MAX)
    return int(x)


def copy_from_first(tensors: list[Tensor]) -> None:
    """Give every process the first one's values, in place."""
    if world().size > 1:
        for tensor in tensors:
            dist.broadcast(tensor, 0)


def of_first(value: Any) -> Any:
    """Give every process the first one's value, which can be pickled."""
    if world().size == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, 0)
    return values[0]


def of_all(value: Any) -> list[Any]:
    """Give every process the values of all, by rank; they can be pickled."""
    if world().size == 1:
        return [value]
    values: list[Any] = [None] * world().size
    dist.all_gather_object(values, value)
    return values
