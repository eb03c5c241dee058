"""OSM-CAA loss: pairs weighted by their distance and by how well they fit their class."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nr3d.losses.checks import check_finite_at_least, check_matrix_and_pids, check_pid_range
from nr3d.losses.precision import accumulation_dtype, without_autocast

SIGMA = 0.9047814732165316
"""VPRT's σ for MARS."""

ALPHA = 2.8436551583293728
"""VPRT's α for MARS."""

NEGATIVE_SHARE = 0.5873389293193368
"""VPRT's l for MARS."""

_LEAST = 1e-12
"""Lower bound of squared distances and weights, so that roots and quotients have a gradient."""


def osm_caa_loss(
    features: Tensor,
    pids: Tensor,
    classes: Tensor,
    *,
    sigma: float = SIGMA,
    alpha: float = ALPHA,
    negative_share: float = NEGATIVE_SHARE,
) -> Tensor:
    """Compute the OSM-CAA loss of a batch; see :class:`OSMCAALoss`.

    Args:
        features: features of the clips; they are scaled to length 1.
        pids: identity labels, from 0 to K-1.
        classes: vector of each identity, such as its center; they are scaled to length 1.
        sigma: σ, the distance within which positive pairs count.
        alpha: α, the distance within which negative pairs count.
        negative_share: l, the weight of the negative pairs, from 0 to 1.

    Returns:
        Tensor: the loss, a scalar in float32 (float64 for float64 features).

    Shape:
        - features: (B, D)
        - pids: (B,)
        - classes: (K, D)

    Raises:
        ValueError: if a shape is wrong, or a label on the CPU is out of range.

    Examples:
        >>> features, classes = torch.randn(4, 8), torch.randn(2, 8)
        >>> osm_caa_loss(features, torch.tensor([0, 0, 1, 1]), classes).shape
        torch.Size([])
    """
    check_matrix_and_pids("features", features, pids)
    if classes.dim() != 2 or classes.shape[1] != features.shape[1]:
        raise ValueError(
            f"expected classes of shape (K, D) and features of shape (B, D), got classes "
            f"{tuple(classes.shape)} and features {tuple(features.shape)}"
        )
    check_pid_range(pids, len(classes))
    with without_autocast(features):
        dtype = accumulation_dtype(features)
        unit = F.normalize(features.to(dtype))  # (B, D)
        squared = (2 - 2 * unit @ unit.T).clamp(min=_LEAST)  # (B, B)
        short = (alpha - squared.sqrt()).clamp(min=_LEAST)  # (B, B)

        fit = (unit @ F.normalize(classes.to(dtype)).T).softmax(dim=1)  # (B, K)
        own = fit.gather(1, pids[:, None].long())  # (B, 1)
        trust = torch.minimum(own, own.T)  # (B, B)

        same = pids[:, None] == pids
        alone = torch.eye(len(pids), dtype=torch.bool, device=pids.device)
        positive = trust * torch.exp(-squared / sigma**2) * (same & ~alone)
        negative = trust * short * ~same
        pulled = _weighted_half(positive, squared)
        pushed = _weighted_half(negative, short.square())
        return (1 - negative_share) * pulled + negative_share * pushed


def _weighted_half(weights: Tensor, values: Tensor) -> Tensor:
    """Return half the weighted mean of values; 0 if all weights are 0."""
    return (weights * values).sum() / weights.sum().clamp(min=_LEAST) / 2


class OSMCAALoss(nn.Module):
    r"""Online soft mining with class-aware attention: a contrastive loss of weighted pairs.

    With features of length 1, d their distance and a_i the softmax over the identities of the
    cosines of feature i with their vectors, at its own::

        S+ = exp(-d^2 / sigma^2),  S- = max(alpha - d, 0),  W = S min(a_i, a_j)
        L  = (1 - l) sum W+ d^2 / (2 sum W+)  +  l sum W- max(alpha - d, 0)^2 / (2 sum W-)

    The sums run over all pairs of two clips of the batch; a batch without such pairs adds 0.

    Reference:
        Wang et al. Deep Metric Learning by Online Soft Mining and Class-Aware Attention. AAAI 2019.
        arXiv:1811.01459. With the centers of the center loss as the vectors of the identities:
        Pathak et al. Video Person Re-ID. AAAI 2020. arXiv:1912.05295.

    Args:
        sigma: σ, the distance within which positive pairs count, above 0. VPRT, MARS: 0.9048.
        alpha: α, the distance within which negative pairs count, at least 0. VPRT, MARS: 2.8437.
        negative_share: l, the weight of the negative pairs, 0..1. VPRT, MARS: 0.5873.

    Shape:
        - features: (B, D)
        - pids: (B,), from 0 to K-1
        - classes: (K, D)
        - output: (), float32, or float64 for float64 features

    Raises:
        ValueError: if a setting is out of range; in forward, if a shape is wrong or (on the CPU) a
            label is out of range.

    Examples:
        >>> loss = OSMCAALoss()
        >>> features = torch.randn(4, 8, requires_grad=True)
        >>> loss(features, torch.tensor([0, 0, 1, 1]), torch.randn(2, 8)).backward()
    """

    def __init__(
        self,
        sigma: float = SIGMA,
        alpha: float = ALPHA,
        negative_share: float = NEGATIVE_SHARE,
    ) -> None:
        super().__init__()
        check_finite_at_least(0, sigma=sigma, alpha=alpha, negative_share=negative_share)
        if sigma == 0:
            raise ValueError("sigma must be above 0, got 0")
        if negative_share > 1:
            raise ValueError(f"negative_share must be from 0 to 1, got {negative_share}")
        self.sigma, self.alpha, self.negative_share = sigma, alpha, negative_share

    def forward(self, features: Tensor, pids: Tensor, classes: Tensor) -> Tensor:
        """Return the loss of one batch."""
        return osm_caa_loss(
            features,
            pids,
            classes,
            sigma=self.sigma,
            alpha=self.alpha,
            negative_share=self.negative_share,
        )

    def extra_repr(self) -> str:
        """Name the settings in ``repr``."""
        return f"sigma={self.sigma}, alpha={self.alpha}, negative_share={self.negative_share}"
