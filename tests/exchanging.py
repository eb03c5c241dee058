"""Exchanges values with the other process of a run through every function of ``nr3d.parallel``.

Usage: exchanging.py OUT, as torchrun starts it; the first process writes what both received to OUT.
The second process ends without leaving the run, which the first one then notices.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import torch

from nr3d import parallel
from nr3d.errors import Nr3dError
from nr3d.parallel import World


def loss_of(whole: torch.Tensor) -> torch.Tensor:
    """Return a loss in which every row depends on all the others."""
    return torch.cdist(whole, whole).square().sum().sin() + (whole @ whole.T).exp().mean()


def exchange(place: World) -> dict[str, Any]:
    """Return what this process sent and received."""
    seen: dict[str, Any] = {"place": place, "world": parallel.world()}
    with parallel.joined(use_gpu=False) as again:
        seen["joined again"] = again
    rows = torch.arange(6.0).reshape(3, 2).T  # not contiguous
    x = (rows / 10 + place.rank).requires_grad_()
    whole = parallel.gather(x)
    loss_of(whole).backward()
    seen |= {"x": x.detach(), "whole": whole.detach(), "gradient": x.grad}
    x.grad = None
    factors = torch.arange(12.0).reshape(4, 3) * 10**place.rank
    (parallel.gather(x) * factors).sum().backward()
    seen["gradient of each"] = x.grad

    summed = torch.tensor([1.0, 2.0]) * (place.rank + 1)
    seen["in place"] = parallel.add_up(summed) is summed
    seen["summed"] = summed
    seen["greatest"] = parallel.greatest(7 - 4 * place.rank)
    copied = [torch.full((2,), 1.5 + place.rank), torch.tensor([place.rank], dtype=torch.int64)]
    parallel.copy_from_first(copied)
    seen["copied"] = copied
    seen["of first"] = parallel.of_first({"from": place.rank, "name": "é" * (place.rank + 1)})
    seen["of all"] = parallel.of_all(("rank", place.rank, None))
    return seen


def main(out: str) -> None:
    seen: dict[str, Any] = {}
    try:
        with parallel.joined(use_gpu=False) as place:
            seen["both"] = parallel.of_all(exchange(place))
            if not place.first:
                os._exit(0)
            while True:  # until the other process is missed
                parallel.add_up(torch.zeros(1))
    except Nr3dError as error:
        seen["lost"] = str(error)
    torch.save(seen, out)
    os._exit(0)  # the broken process group is left as it is


if __name__ == "__main__":
    main(sys.argv[1])
