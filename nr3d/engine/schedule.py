"""The learning rate of the recipe: a linear warm-up, then steps down."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_multi_step(
    optimizer: Optimizer,
    stepsize: Sequence[int] = (40, 70),
    gamma: float = 0.1,
    warmup_epochs: int = 10,
    warmup_factor: float = 0.01,
) -> LambdaLR:
    r"""Build the scheduler of the recipe, to be stepped once an epoch.

    .. math::
        lr(e) = lr \cdot \gamma^{|\{s \le e\}|} \cdot
        \begin{cases} w + (1 - w) \, e / E & e < E \\ 1 & \text{else} \end{cases}

    Args:
        optimizer: optimizer whose groups have the full learning rates.
        stepsize: epochs at which the rate falls, from 0. Paper: 40, 70.
        gamma: factor that the rate falls by. Paper: 0.1.
        warmup_epochs: number of epochs of the warm-up, E; 0 for none. Paper: 10.
        warmup_factor: w, share of the rate at epoch 0, 0..1. Paper: 0.01.

    Returns:
        LambdaLR: scheduler of the optimizer.

    Raises:
        ValueError: if ``warmup_epochs`` is negative or ``warmup_factor`` outside 0..1.

    Examples:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        >>> warmup_multi_step(optimizer).get_last_lr()
        [0.01]
    """
    if warmup_epochs < 0 or not 0 <= warmup_factor <= 1:
        raise ValueError(
            f"warm-up over {warmup_epochs} epochs from {warmup_factor} of the learning rate, "
            "expected 0 or more epochs and a factor within 0..1"
        )
    steps = sorted(stepsize)

    def factor(epoch: int) -> float:
        warm = 1.0
        if epoch < warmup_epochs:
            warm = warmup_factor + (1 - warmup_factor) * epoch / warmup_epochs
        return float(warm * gamma ** bisect_right(steps, epoch))

    return LambdaLR(optimizer, factor)
