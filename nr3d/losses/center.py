"""Center loss: pull each feature towards the learnt center of its identity."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from nr3d.losses.checks import check_at_least_one, check_matrix_and_pids, check_pid_range
from nr3d.losses.precision import accumulation_dtype, without_autocast

CenterReduction = Literal["mean", "half_sum"]


def center_loss(
    features: Tensor, pids: Tensor, centers: Tensor, *, reduction: CenterReduction = "mean"
) -> Tensor:
    """Compute the center loss of a batch; see :class:`CenterLoss`.

    Args:
        features: features of the batch, not normalised.
        pids: identity of each feature, from 0 to K-1.
        centers: center of each identity.
        reduction: 'mean' for mean_i ‖f_i - c_{y_i}‖², 'half_sum' for ½ Σ_i ‖f_i - c_{y_i}‖².

    Returns:
        Tensor: the loss, a scalar in float32 (float64 where either input is).

    Shape:
        - features: (B, D)
        - pids: (B,)
        - centers: (K, D)

    Raises:
        ValueError: if the shapes differ from those above, pids are not integers or (on the CPU)
            name no center, or the reduction is unknown.

    Examples:
        >>> features = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
        >>> center_loss(features, torch.tensor([0, 1]), torch.zeros(2, 2))
        tensor(2.5000)
    """
    _check_reduction(reduction)
    check_matrix_and_pids("features", features, pids)
    if centers.dim() != 2 or centers.shape[1] != features.shape[1]:
        raise ValueError(
            f"expected centers of shape (K, D) with the D of the features, got centers "
            f"{tuple(centers.shape)} and features {tuple(features.shape)}"
        )
    check_pid_range(pids, len(centers))
    with without_autocast(features):
        dtype = accumulation_dtype(features, centers)
        # index_select refuses a negative label, which plain indexing would count from the end.
        own = centers.index_select(0, pids)  # (B, D)
        squared = (features.to(dtype) - own.to(dtype)).square().sum(dim=1)  # (B,)
        return squared.mean() if reduction == "mean" else squared.sum() / 2


def _check_reduction(reduction: str) -> None:
    choices = get_args(CenterReduction)
    if reduction not in choices:
        raise ValueError(f"unknown reduction {reduction!r}; choose one of {', '.join(choices)}")


class CenterLoss(nn.Module):
    """Center loss: squared Euclidean distance of each feature to the center of its identity.

    With c_k the center of identity k, a parameter of this module::

        'mean':      L = 1/B Σ_i ‖f_i - c_{y_i}‖²
        'half_sum':  L =   ½ Σ_i ‖f_i - c_{y_i}‖²

    Reference:
        Wen et al., "A Discriminative Feature Learning Approach for Deep Face Recognition",
        ECCV 2016. Deviations: the paper's loss is 'half_sum'; 'mean' is that of the
        implementations in use and the one that Not 3D's weight of 0.0005 was tuned for. The
        centers follow the gradient of the loss in a separate optimizer (Not 3D: SGD, lr 0.5),
        instead of the paper's update rule.

    Args:
        num_classes: number of training identities, K.
        feature_dim: size of a feature, D. Not 3D: 2048.
        reduction: 'mean' (Not 3D) or 'half_sum' (Wen et al.).

    Attributes:
        centers: parameter of shape (K, D), drawn from N(0, 1).

    Shape:
        - features: (B, D)
        - pids: (B,), from 0 to K-1
        - output: (), float32, or float64 for float64 features

    Raises:
        ValueError: if a size is below 1 or the reduction is unknown; in forward, if a shape is
            wrong or (on the CPU) a label is out of range.

    Examples:
        >>> loss = CenterLoss(num_classes=625, feature_dim=2048)
        >>> loss(torch.randn(8, 2048), torch.arange(4).repeat_interleave(2)).backward()
        >>> loss.centers.grad.shape
        torch.Size([625, 2048])
    """

    def __init__(
        self, num_classes: int, feature_dim: int, reduction: CenterReduction = "mean"
    ) -> None:
        super().__init__()
        check_at_least_one(num_classes=num_classes, feature_dim=feature_dim)
        _check_reduction(reduction)
        self.num_classes = num_classes
        self.feature_dim = feature_dim
        self.reduction: CenterReduction = reduction
        self.centers = nn.Parameter(torch.randn(num_classes, feature_dim))

    def forward(self, features: Tensor, pids: Tensor) -> Tensor:
        """Return the loss of one batch."""
        return center_loss(features, pids, self.centers, reduction=self.reduction)

    def extra_repr(self) -> str:
        """Name the settings in ``repr``."""
        return (
            f"num_classes={self.num_classes}, feature_dim={self.feature_dim}, "
            f"reduction={self.reduction!r}"
        )
