"""Ranked list loss: keep an identity within a ball, and all others outside a larger one."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nr3d.losses.checks import check_finite_at_least, check_matrix_and_pids
from nr3d.losses.precision import accumulation_dtype, without_autocast

# Below this length, the direction of a feature cannot be trusted.
_SHORTEST = 1e-12


def ranked_list_loss(
    features: Tensor,
    pids: Tensor,
    *,
    margin: float = 1.3,
    alpha: float = 2.0,
    temperature: float = 1.0,
    negative_weight: float = 1.0,
) -> Tensor:
    """Compute the ranked list loss of a batch; see :class:`RankedListLoss`.

    Args:
        features: features of the batch, of any length; they are L2-normalised here.
        pids: identity of each feature.
        margin: m, gap between the two balls.
        alpha: α, distance that other identities should keep.
        temperature: τ, degree to which the nearest of the violating negatives outweigh the rest.
        negative_weight: λ, weight of the negatives' term.

    Returns:
        Tensor: the loss, a scalar in float32 (float64 for float64 features).

    Shape:
        - features: (B, D)
        - pids: (B,)

    Raises:
        ValueError: if the shapes differ from those above, or pids are not integers.

    Examples:
        >>> features = torch.tensor([[1.0, 0.0], [3.0, 0.0], [-2.0, 0.0]])
        >>> ranked_list_loss(features, torch.tensor([0, 0, 1]))
        tensor(0.)
    """
    check_matrix_and_pids("features", features, pids)
    wide = features.to(accumulation_dtype(features))
    loss: Tensor = _RankedList.apply(wide, pids, margin, alpha, temperature, negative_weight)
    return loss


class _RankedList(torch.autograd.Function):
    """The loss with a gradient derived by hand.

    Batches are small, so the number of operations determines the time: the forward pass yields the
    gradient with respect to the distances, and the backward pass is one product. It takes memory
    for B·D + B² numbers, never for B²·D.
    """

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        pids: Tensor,
        margin: float,
        alpha: float,
        temperature: float,
        negative_weight: float,
    ) -> Tensor:
        with without_autocast(features):
            length = torch.linalg.vector_norm(features, dim=1, keepdim=True)
            # A row of zeros stays zero and gets a gradient of zero, not the others' times
            # 1 / _SHORTEST. Such rows occur: a BatchNorm without bias maps a batch of identical
            # features to zeros.
            inverse = length.reciprocal().masked_fill_(length < _SHORTEST, 0)
            unit = features * inverse  # (B, D)
            square = unit.square().sum(dim=1)  # (B,)
            squared = torch.addmm(square[:, None] + square, unit, unit.T, alpha=-2)  # (B, B)
            # Rounding can make the distance of identical features negative.
            touching = squared <= 0
            distance = squared.masked_fill_(touching, 0).sqrt_()

            same = pids[:, None] == pids  # (B, B)
            shortfall = alpha - distance
            violating = (shortfall > 0).masked_fill_(same, False)
            positive = same.fill_diagonal_(False)

            excess = (margin - shortfall).relu_()
            weight = positive.to(distance.dtype)
            weight /= positive.sum(dim=1, keepdim=True).clamp_(min=1)
            # v_ij / Σ v_ij is a softmax over the violating negatives. The others are masked before
            # the exponential; an anchor without any gets a uniform row, zeroed by the second mask.
            others = ~violating
            smallest = torch.finfo(distance.dtype).min
            share = (temperature * shortfall).masked_fill_(others, smallest).softmax(dim=1)
            share.masked_fill_(others, 0)
            negative = (share * shortfall).sum(dim=1, keepdim=True)  # (B, 1)
            total = (weight * excess).sum() + negative_weight * negative.sum()

            if ctx.needs_input_grad[0]:
                # With respect to d_ij, anchor i; the softmax is differentiated through.
                slope = weight * (excess > 0)
                spread = (shortfall - negative).mul_(temperature).add_(1)
                slope.sub_(share * spread, alpha=negative_weight)
                # d_ij is d_ji; its own slope at 0 is infinite and is taken to be 0.
                slope = (slope + slope.T).div_(distance).masked_fill_(touching, 0)
                ctx.save_for_backward(unit, inverse, slope)
            return total / len(features)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        unit, inverse, slope = ctx.saved_tensors
        with without_autocast(unit):
            # Σ_j slope_ij (u_i - u_j), less its part along u_i, over the length
            of_unit = torch.addmm(slope.sum(dim=1, keepdim=True) * unit, slope, unit, alpha=-1)
            along = (of_unit * unit).sum(dim=1, keepdim=True)
            scale = inverse * (grads[0] / len(unit))
            return of_unit.addcmul_(along, unit, value=-1).mul_(scale), *[None] * 5


class RankedListLoss(nn.Module):
    """Ranked list loss over a batch, with each sample as the anchor once.

    With d_ij the Euclidean distance of L2-normalised features, P_i the other samples of anchor
    i's identity and N_i the samples of other identities with d_ij < α::

        L_P(i) = 1/|P_i| Σ_{j∈P_i} max(0, d_ij - (α - m))
        L_N(i) = Σ_{j∈N_i} v_ij (α - d_ij) / Σ_{j∈N_i} v_ij,   v_ij = exp(τ (α - d_ij))
        L      = 1/B Σ_i L_P(i) + λ L_N(i)

    An anchor whose P_i or N_i is empty adds 0 for that term and still counts in the mean.

    Reference:
        Wang et al., "Ranked List Loss for Deep Metric Learning", CVPR 2019, arXiv 1903.03238;
        with the settings of Alsehaim and Breckon, "Not 3D Re-ID", ICPR 2020, arXiv 2008.06318.
        Deviation: the weights v_ij are differentiated through, as in the implementations in use.

    Args:
        margin: m, gap between the ball of an identity and that of the others, at least 0.
            Not 3D: 1.3.
        alpha: α, distance that other identities should keep, at least 0; unit features are at most
            2 apart. Not 3D: 2.0.
        temperature: τ, degree to which near violating negatives outweigh the rest, at least 0; at 0
            all weigh the same. Not 3D: 1.0.
        negative_weight: λ, weight of the negatives' term, at least 0. Not 3D: 1.0.

    Shape:
        - features: (B, D)
        - pids: (B,)
        - output: (), float32, or float64 for float64 features

    Raises:
        ValueError: if a setting is out of range; in forward, if a shape is wrong.

    Examples:
        >>> loss = RankedListLoss()
        >>> features = torch.randn(8, 2048, requires_grad=True)
        >>> loss(features, torch.arange(4).repeat_interleave(2)).backward()
    """

    def __init__(
        self,
        margin: float = 1.3,
        alpha: float = 2.0,
        temperature: float = 1.0,
        negative_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_finite_at_least(
            0,
            margin=margin,
            alpha=alpha,
            temperature=temperature,
            negative_weight=negative_weight,
        )
        self.margin = margin
        self.alpha = alpha
        self.temperature = temperature
        self.negative_weight = negative_weight

    def forward(self, features: Tensor, pids: Tensor) -> Tensor:
        """Return the loss of one batch."""
        return ranked_list_loss(
            features,
            pids,
            margin=self.margin,
            alpha=self.alpha,
            temperature=self.temperature,
            negative_weight=self.negative_weight,
        )

    def extra_repr(self) -> str:
        """Name the settings in ``repr``."""
        return (
            f"margin={self.margin}, alpha={self.alpha}, temperature={self.temperature}, "
            f"negative_weight={self.negative_weight}"
        )
