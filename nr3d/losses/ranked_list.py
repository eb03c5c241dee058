"""Ranked list loss: keep an identity inside a ball, everybody else outside a larger one."""

import torch
from torch import Tensor, nn

from nr3d.losses.checks import check_finite_at_least, check_matrix_and_pids
from nr3d.losses.precision import accumulation_dtype, without_autocast

# Below this length a feature has no direction that could be trusted.
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
    """Compute the ranked list loss of a batch; ``RankedListLoss`` documents it.

    Args:
        features: The batch's features, of any length: they are L2-normalised here.
        pids: The identity of each feature.
        margin: m, the gap between the two balls.
        alpha: α, the distance that other identities should keep.
        temperature: τ, how much the nearest of the violating negatives outweigh the rest.
        negative_weight: λ, the weight of the negatives' term.

    Returns:
        The loss, a scalar in float32 (float64 for float64 features).

    Shape:
        - features: (B, D)
        - pids: (B,)

    Raises:
        ValueError: The shapes differ from those above, or pids are not integers.

    Example:
        >>> features = torch.tensor([[1.0, 0.0], [3.0, 0.0], [-2.0, 0.0]])
        >>> ranked_list_loss(features, torch.tensor([0, 0, 1]))
        tensor(0.)
    """
    check_matrix_and_pids("features", features, pids)
    with without_autocast(features):
        directions = _normalize(features.to(accumulation_dtype(features)))  # (B, D)
        distance = _pairwise_distance(directions)  # (B, B)

        same = pids[:, None] == pids[None, :]  # (B, B)
        itself = torch.eye(len(pids), dtype=torch.bool, device=pids.device)
        positive = same & ~itself
        violating = ~same & (distance < alpha)

        excess = (distance - (alpha - margin)).relu()
        count = positive.sum(dim=1).clamp(min=1)  # (B,)
        positive_term = excess.masked_fill(~positive, 0).sum(dim=1) / count

        shortfall = alpha - distance
        # v_ij / Σ v_ij is a softmax over the violating negatives. The others leave before the
        # exponential; an anchor without any gets an even row, emptied by the second mask.
        smallest = torch.finfo(distance.dtype).min
        share = (temperature * shortfall).masked_fill(~violating, smallest).softmax(dim=1)
        share = share.masked_fill(~violating, 0)
        negative_term = (share * shortfall).sum(dim=1)

        return (positive_term + negative_weight * negative_term).mean()


def _normalize(features: Tensor) -> Tensor:
    """Scale each row to length 1; a row of zeros stays zero and gets a gradient of zero."""
    length: Tensor = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    unit = features / length.clamp(min=_SHORTEST)
    # Without this a row of zeros would get the others' gradient times 1 / _SHORTEST. Such rows
    # occur: a BatchNorm without bias maps a batch of identical features to zeros.
    return unit.masked_fill(length < _SHORTEST, 0)


def _pairwise_distance(rows: Tensor) -> Tensor:
    """Return the Euclidean distances of all rows, whose gradient at distance 0 is 0.

    By the Gram matrix, so that memory is B·D + B² and never B²·D.
    """
    square = rows.square().sum(dim=1)  # (B,)
    squared = square[:, None] + square[None, :] - 2 * (rows @ rows.T)  # (B, B)
    # sqrt has an infinite slope at 0, where identical features lie, and rounding can go below.
    touching = squared <= 0
    return squared.masked_fill(touching, 1).sqrt().masked_fill(touching, 0)


class RankedListLoss(nn.Module):
    """Ranked list loss over the batch, each sample once the anchor.

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
        margin: m, the gap between the ball of an identity and that of the others, at least 0
            (Not 3D: 1.3).
        alpha: α, the distance that other identities should keep, at least 0; unit features are
            at most 2 apart (Not 3D: 2.0).
        temperature: τ, at least 0; at 0 all violating negatives weigh the same (Not 3D: 1.0).
        negative_weight: λ, at least 0 (Not 3D: 1.0).

    Shape:
        - features: (B, D)
        - pids: (B,)
        - output: (), float32, or float64 for float64 features

    Raises:
        ValueError: A setting is out of range; in forward, a shape is another one.

    Example:
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
        """See the class."""
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
