"""Time the ranked list loss and the center loss against loops, forward and backward.

    python benchmarks/losses.py --machine "2 cores of an AMD EPYC" --out benchmarks/results/losses

The loop form of the ranked list loss handles the anchors one by one, each against the whole batch;
that of the center loss handles the samples one by one. The two forms of a loss are timed in turn,
over ten calls each. Memory is the count of numbers that the forward pass keeps for the backward
pass, relative to N·D + N².
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
from reporting import in_turn, parser_of, ratio, write
from torch import Tensor

from nr3d.losses import CenterLoss, RankedListLoss

SIZES = (32, 64, 256)
DIM = 2048
INSTANCES = 4
CALLS = 10


def ranked_list_loop(features: Tensor, pids: Tensor) -> Tensor:
    """Compute the paper's loss with its settings, one anchor at a time."""
    margin, alpha, temperature = 1.3, 2.0, 1.0
    unit = torch.nn.functional.normalize(features)
    distances = (2 - 2 * unit @ unit.T).clamp(min=1e-12).sqrt()
    total = features.new_zeros(())
    for anchor in range(len(features)):
        same = pids == pids[anchor]
        same[anchor] = False
        positives = distances[anchor][same]
        if len(positives):
            total = total + (positives - (alpha - margin)).clamp(min=0).mean()
        negatives = distances[anchor][pids != pids[anchor]]
        negatives = negatives[negatives < alpha]
        if len(negatives):
            weights = torch.exp(temperature * (alpha - negatives))
            total = total + (weights * (alpha - negatives)).sum() / weights.sum()
    return total / len(features)


def center_loop(features: Tensor, pids: Tensor, centers: Tensor) -> Tensor:
    """Compute the mean squared distance of each sample to its center, one sample at a time."""
    total = features.new_zeros(())
    for feature, pid in zip(features, pids.tolist(), strict=True):
        total = total + (feature - centers[pid]).square().sum()
    return total / len(features)


def kept(loss: Any, features: Tensor, pids: Tensor) -> int:
    """Count the numbers that a forward pass keeps, with each storage counted once."""
    storages: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss(features, pids)
    return sum(storages.values())


def repeat(loss: Callable[[], Tensor]) -> None:
    """Run several forward and backward passes, because a single one is too short to time."""
    for _ in range(CALLS):
        loss().backward()


def measure(size: int, rounds: int, device: torch.device) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(size)
    features = torch.randn(size, DIM, generator=generator).to(device).requires_grad_()
    pids = torch.arange(size // INSTANCES, device=device).repeat_interleave(INSTANCES)
    ranked, center = RankedListLoss().to(device), CenterLoss(625, DIM).to(device)
    pairs = {
        "ranked list": (lambda: ranked(features, pids), lambda: ranked_list_loop(features, pids)),
        "center": (
            lambda: center(features, pids),
            lambda: center_loop(features, pids, center.centers),
        ),
    }
    found = []
    for name, (ours, loop) in pairs.items():
        torch.testing.assert_close(ours(), loop(), rtol=1e-4, atol=1e-4)
        sides = [lambda side=side: repeat(side) for side in (loop, ours)]
        theirs, own = in_turn(rounds, *sides)
        found.append(
            {
                "loss": name,
                "N": size,
                "loop_ms": 1e3 * statistics.median(theirs) / CALLS,
                "ours_ms": 1e3 * statistics.median(own) / CALLS,
                "ratio": ratio(theirs, own),
                "kept": kept(ranked if name == "ranked list" else center, features, pids),
                "bound": size * DIM + size**2,
            }
        )
    return found


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = [row for size in SIZES for row in measure(size, args.rounds, device)]
    lines = [
        "| loss | N | loop form | nr3d | times faster (least to greatest) | kept / (N·D + N²) |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        r = row["ratio"]
        lines.append(
            f"| {row['loss']} | {row['N']} | {row['loop_ms']:.2f} ms | {row['ours_ms']:.2f} ms "
            f"| {r['median']:.1f} ({r['least']:.1f} to {r['greatest']:.1f}) "
            f"| {row['kept'] / row['bound']:.2f} |"
        )
    write(args.out, args.machine, "\n".join(lines), {"rows": rows})


if __name__ == "__main__":
    main()
