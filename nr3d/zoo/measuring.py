"""Measurements of a network on this machine: memory and speed, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from nr3d.features import Inference
from nr3d.features.precision import Precision
from nr3d.models import architecture_of, channels_innermost
from nr3d.parallel import own_device

_REPEATS = 3
"""Number of timed passes, of which the median counts."""

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Measured:
    """What a network takes on this machine.

    Args:
        clips_a_second: number of clips whose features are computed in a second.
        inference_mib: memory at the peak of that, with the network, in MiB; None where the system
            does not tell.
        training_mib: memory at the peak of a training step on the same clips, with the network,
            its gradients and Adam's moments, in MiB; None where the system does not tell.
        clips: number of clips in the batch.
        precision: number type of the trunk.
        device: the device, as torch names it.
        threads: number of threads of the CPU.
    """

    clips_a_second: float
    inference_mib: float | None
    training_mib: float | None
    clips: int
    precision: str
    device: str
    threads: int


def measure(
    network: str,
    frames: int,
    height: int,
    width: int,
    *,
    clips: int = 2,
    aggregation: str | None = None,
    use_gpu: bool = True,
) -> Measured:
    """Measure a network on random clips.

    Memory is measured in a new process each, beside what the process holds before the network is
    built.

    Args:
        network: the registered name of the network.
        frames: T, the number of frames of a clip.
        height: H, the height of the frames, in pixels.
        width: W, the width of the frames, in pixels.
        clips: number of clips in a batch, at least 2.
        aggregation: the name of an aggregation. Default is the network's own.
        use_gpu: whether to measure on a GPU where there is one.
    """
    build = {"aggregation": aggregation, "frames": frames, "frame_size": (height, width)}
    shape, threads = (clips, frames, 3, height, width), torch.get_num_threads()
    arguments = (network, build, shape, use_gpu, threads)
    speed, inference_mib, precision = _alone(_infer, *arguments)
    training_mib = _alone(_train, *arguments)
    return Measured(
        clips_a_second=speed,
        inference_mib=inference_mib,
        training_mib=training_mib,
        clips=clips,
        precision=precision,
        device=str(own_device(use_gpu)),
        threads=threads,
    )


def _alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def _infer(
    network: str, build: dict[str, Any], shape: tuple[int, ...], use_gpu: bool, threads: int
) -> tuple[float, float | None, str]:
    torch.set_num_threads(threads)
    device, peak = own_device(use_gpu), _Peak()
    inference = Inference(architecture_of(network)(pretrained=False, **build), device)
    clips = torch.rand(shape)
    inference.embed(clips)
    seconds = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        inference.embed(clips).features.cpu()
        seconds.append(time.perf_counter() - started)
    return shape[0] / statistics.median(seconds), peak.mib(device), inference.precision.name


def _train(
    network: str, build: dict[str, Any], shape: tuple[int, ...], use_gpu: bool, threads: int
) -> float | None:
    torch.set_num_threads(threads)
    device, peak = own_device(use_gpu), _Peak()
    model = architecture_of(network)(pretrained=False, **build).to(device).train()
    channels_innermost(model)
    optimizer = torch.optim.Adam(model.parameters())
    precision = Precision("auto", device)
    with precision.autocast():
        logits = model(torch.rand(shape, device=device))
    pids = torch.arange(shape[0], device=device)
    F.cross_entropy(logits.float(), pids).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return peak.mib(device)


class _Peak:
    """The memory that is taken from now on, at its peak."""

    def __init__(self) -> None:
        self.before = _read("VmRSS")
        try:
            _CLEAR.write_text("5")  # the peak is from now on
        except OSError:
            self.before = None

    def mib(self, device: torch.device) -> float | None:
        """Return the peak, in MiB; None where the system does not tell."""
        if device.type == "cuda":
            return torch.cuda.max_memory_allocated(device) / (1 << 20)
        peak = _read("VmHWM")
        return None if peak is None or self.before is None else peak - self.before


def _read(name: str) -> float | None:
    """Return a figure of this process's memory, in MiB; None where there is none."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(found[0]) / 1024 if found else None
