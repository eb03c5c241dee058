"""The processes of one run, as torchrun starts them: their ranks, and what they exchange.

Importing this module does not import torch, so that the command line can ask which process it is.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nr3d.errors import Nr3dError
from nr3d.processes.stopping import Interrupted

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_LOST_PEER = re.compile(r"gloo|nccl|connection|peer|process group|store", re.IGNORECASE)


@dataclass(frozen=True)
class World:
    """One process's place among the processes of a run.

    Args:
        rank: number of this process, from 0.
        size: number of processes in the run.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files and reports progress."""
        return self.rank == 0


def world() -> World:
    """Return the place of this process in the run; it is the only one unless they were joined."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        return World(dist.get_rank(), dist.get_world_size())
    return World()


def launched() -> World:
    """Return the place that torchrun started this process in, whether or not it has joined.

    Returns:
        World: the place that the environment names; rank 0 of 1 where torchrun started nothing.
    """
    if {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys():
        return World(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    return World()


def own_device(use_gpu: bool) -> torch.device:
    """Return the GPU that this process took when it joined the others, or the CPU.

    Args:
        use_gpu: whether to take a GPU, if there is one.
    """
    import torch

    if use_gpu and torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


@contextlib.contextmanager
def joined(use_gpu: bool) -> Iterator[World]:
    """Join the other processes of the run for the duration of a block.

    Each process takes the GPU of its local rank (NCCL) or the CPU (gloo). Where torchrun started
    only one process, or the processes have joined already, nothing is set up.

    Args:
        use_gpu: whether to take GPUs where there are any.

    Yields:
        World: the place of this process.

    Raises:
        Nr3dError: if there are fewer GPUs than processes, or another process has ended.
    """
    import torch
    import torch.distributed as dist

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
            if stopped.checkpoint is not None:  # a point that all processes agreed on
                dist.destroy_process_group()
            raise
        dist.destroy_process_group()
    except RuntimeError as error:
        # A process group that lost a member is left as it is: closing it could wait for ever.
        if isinstance(error, Nr3dError) or not _LOST_PEER.search(str(error)):
            raise
        raise Nr3dError(
            f"Process {place.rank} of {place.size} cannot reach another process of the run, which "
            f"has ended or lost its network ({str(error).splitlines()[0][:160]}). The message of "
            "that process says why. Once it is solved, continue from the run's last checkpoint "
            "with model.resume."
        ) from error


@functools.cache
def _gather_function() -> Callable[[Tensor], Tensor]:
    """Return the function with which :func:`gather` concatenates and sums the gradients."""
    import torch
    import torch.distributed as dist

    class Gather(torch.autograd.Function):
        """Concatenation over the ranks, whose gradient on each rank is the sum over all ranks."""

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

    function: Callable[[Tensor], Tensor] = Gather.apply
    return function


def gather(x: Tensor) -> Tensor:
    """Concatenate the tensors of all processes, which have the same shape, in the order of ranks.

    The gradient with respect to the whole is summed over the processes. With gradients that are
    averaged over the processes, as ``DistributedDataParallel`` does, a loss of the whole that every
    process computes therefore has the gradient of one process with the whole batch.

    Args:
        x: tensor of this process, of shape (n, ...).

    Returns:
        Tensor: shape (n · world size, ...); ``x`` itself in a run of one process.
    """
    if world().size == 1:
        return x
    return _gather_function()(x.contiguous())


def add_up(x: Tensor) -> Tensor:
    """Sum a contiguous tensor over the processes, in place and without a gradient."""
    if world().size > 1:
        import torch.distributed as dist

        dist.all_reduce(x)
    return x


def greatest(number: int) -> int:
    """Return the greatest of the processes' numbers."""
    if world().size == 1:
        return number
    import torch
    import torch.distributed as dist

    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    x = torch.tensor(number, device=device)
    dist.all_reduce(x, dist.ReduceOp.MAX)
    return int(x)


def copy_from_first(tensors: list[Tensor]) -> None:
    """Overwrite the tensors of every process, in place, with those of the first process."""
    if world().size > 1:
        import torch.distributed as dist

        for tensor in tensors:
            dist.broadcast(tensor, 0)


def of_first(value: Any) -> Any:
    """Return the first process's value, which must be picklable, in every process."""
    if world().size == 1:
        return value
    import torch.distributed as dist

    values = [value]
    dist.broadcast_object_list(values, 0)
    return values[0]


def of_all(value: Any) -> list[Any]:
    """Return the values of all processes, which must be picklable, in the order of ranks."""
    if world().size == 1:
        return [value]
    import torch.distributed as dist

    values: list[Any] = [None] * world().size
    dist.all_gather_object(values, value)
    return values
