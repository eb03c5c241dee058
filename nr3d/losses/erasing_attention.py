"""Erasing-attention loss: a low attention score for a frame with an erased part."""

from typing import Literal, get_args

from torch import Tensor, nn

from nr3d.losses.precision import accumulation_dtype, without_autocast

ErasingAttentionReduction = Literal["mean", "sum"]


def erasing_attention_loss(
    scores: Tensor, erased: Tensor, *, reduction: ErasingAttentionReduction = "mean"
) -> Tensor:
    """Compute the erasing-attention loss of a batch; see :class:`ErasingAttentionLoss`.

    Args:
        scores: attention score of each frame before the softmax, at least 0; for the live
            attention, the frame's weight.
        erased: 1 or True where random erasing hit the frame, else 0 or False.
        reduction: reduction over the frames of a clip, 'mean' or 'sum'; over clips it is the mean.

    Returns:
        Tensor: the loss, a scalar in float32 (float64 for float64 scores).

    Shape:
        - scores: (B, T)
        - erased: (B, T)

    Raises:
        ValueError: if the shapes differ from those above or hold no frame, or the reduction is
            unknown.

    Examples:
        >>> import torch
        >>> scores = torch.tensor([[1.0, 3.0]])
        >>> erasing_attention_loss(scores, torch.tensor([[False, True]]))
        tensor(1.5000)
    """
    _check_reduction(reduction)
    if scores.dim() != 2 or scores.shape != erased.shape or scores.numel() == 0:
        raise ValueError(
            f"expected scores and erased of the same shape (B, T) with B and T at least 1, got "
            f"scores {tuple(scores.shape)} and erased {tuple(erased.shape)}"
        )
    with without_autocast(scores):
        dtype = accumulation_dtype(scores)
        hit = erased.to(dtype) * scores.to(dtype)  # (B, T)
        # Every clip has T frames, so the mean over clips of the mean over frames is one mean.
        return hit.mean() if reduction == "mean" else hit.sum(dim=1).mean()


def _check_reduction(reduction: str) -> None:
    choices = get_args(ErasingAttentionReduction)
    if reduction not in choices:
        raise ValueError(f"unknown reduction {reduction!r}; choose one of {', '.join(choices)}")


class ErasingAttentionLoss(nn.Module):
    """Mean attention score of the frames that random erasing hit.

    With e_t = 1 where frame t was erased and s_t its score before the softmax, averaged over
    the batch::

        'mean':  L = 1/T Σ_t e_t · s_t
        'sum':   L =     Σ_t e_t · s_t

    The scores of the live attention have no lower bound; its loss takes the weights in their place.

    Reference:
        Alsehaim and Breckon, "Not 3D Re-ID: a Simple Single Stream 2D Convolution for Robust
        Video Re-identification", ICPR 2020, arXiv 2008.06318. The paper's loss is 'mean'; public
        code of the method has 'sum'.

    Args:
        reduction: 'mean' (paper) or 'sum'.

    Shape:
        - scores: (B, T), at least 0: scores, or weights of the live attention
        - erased: (B, T), 0 or 1 of any type
        - output: (), float32, or float64 for float64 scores

    Raises:
        ValueError: if the reduction is unknown; in forward, if a shape is wrong.

    Examples:
        >>> import torch
        >>> loss = ErasingAttentionLoss()
        >>> scores = torch.rand(8, 4, requires_grad=True)
        >>> loss(scores, torch.rand(8, 4) < 0.5).backward()
    """

    def __init__(self, reduction: ErasingAttentionReduction = "mean") -> None:
        super().__init__()
        _check_reduction(reduction)
        self.reduction: ErasingAttentionReduction = reduction

    def forward(self, scores: Tensor, erased: Tensor) -> Tensor:
        """Return the loss of one batch."""
        return erasing_attention_loss(scores, erased, reduction=self.reduction)

    def extra_repr(self) -> str:
        """Name the setting in ``repr``."""
        return f"reduction={self.reduction!r}"
