"""Initial values of an aggregation's layers."""

from __future__ import annotations

from torch import nn

INITIALISATIONS = ("default", "kaiming")
"""Initial values of an aggregation: PyTorch's own, or those of :func:`kaiming_`."""


def kaiming_(aggregation: nn.Module) -> None:
    r"""Draw the convolutions of an aggregation from Kaiming's normal distribution, in place.

    .. math::
        W \sim \mathcal{N}\big(0, 2 / n\big), \quad b = 0

    n is the number of inputs of an output. PyTorch's default is uniform with a variance of
    :math:`1 / 3n`, for the biases too. An aggregation without convolutions stays as it is.

    Reference:
        He et al. Delving Deep into Rectifiers. ICCV 2015. arXiv:1502.01852. Public code of the
        method starts both layers of the attention like this; the paper does not say how they start.

    Args:
        aggregation: the aggregation, before any weights are loaded into it.

    Examples:
        >>> from nr3d.models import SpatialTemporalAttention
        >>> attention = SpatialTemporalAttention(512)
        >>> kaiming_(attention)
        >>> attention.temporal.bias.tolist()
        [0.0]
    """
    for layer in aggregation.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
