"""The learning rate of the attention, apart from that of the rest of the network."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim import Optimizer


def scale_attention_lr(optimizer: Optimizer, model: nn.Module, factor: float) -> None:
    """Set the learning rate of the aggregation's parameters apart from that of the others.

    A unit of the spatial layer sums over a whole feature map, so that a step of Adam moves its
    output by the learning rate times the sum of the map's absolute values: 200,704 of them in the
    paper's network. Call this before a scheduler is built, which takes each group's rate from here.

    Args:
        optimizer: optimizer of the model's parameters, changed in place. The new groups come
            before the others, so that the last group's rate is still that of the trunk.
        model: network of nr3d's, plain or in a wrapper that keeps it as ``module``.
        factor: factor of the aggregation's learning rate, at least 0. Default of
            ``not3d.attention_lr_mult`` is 0.01.

    Raises:
        ValueError: if the factor is negative.

    Examples:
        >>> import torch, torchreid
        >>> model = torchreid.models.build_model("nr3d_resnet18_ibn", 5, pretrained=False)
        >>> optimizer = torch.optim.Adam(model.parameters(), lr=0.5)
        >>> scale_attention_lr(optimizer, model, 0.01)
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.005, 0.5]
    """
    if not factor >= 0:
        raise ValueError(f"factor is {factor}, expected at least 0")
    network: Any = getattr(model, "module", model)
    own = {id(parameter) for parameter in network.aggregation.parameters()}
    scaled: list[dict[str, Any]] = []
    rest: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        inside = [number for number, each in enumerate(group["params"]) if id(each) in own]
        outside = [number for number, each in enumerate(group["params"]) if id(each) not in own]
        if inside:
            scaled.append({**_part(group, inside), "lr": group["lr"] * factor})
        if outside:
            rest.append(_part(group, outside))
    optimizer.param_groups[:] = [*scaled, *rest]


def _part(group: dict[str, Any], numbers: list[int]) -> dict[str, Any]:
    """Return a group with some of its parameters, and their names if it has them."""
    lists = [key for key in ("params", "param_names") if key in group]
    return {**group, **{key: [group[key][number] for number in numbers] for key in lists}}
