"""Erasing-attention loss: a low attention score for a frame with an erased part."""

from torch import Tensor, nn

from nr3d.losses.precision import accumulation_dtype, without_autocast


def erasing_attention_loss(scores: Tensor, erased: Tensor) -> Tensor:
    """Compute the erasing-attention loss of a batch; see :class:`ErasingAttentionLoss`.

    Args:
        scores: attention score of each frame before the softmax, at least 0; for the live
            attention, the frame's weight.
        erased: 1 or True where random erasing hit the frame, else 0 or False.

    Returns:
        Tensor: the loss, a scalar in float32 (float64 for float64 scores).

    Shape:
        - scores: (B, T)
        - erased: (B, T)

    Raises:
        ValueError: if the shapes differ from those above or hold no frame.

    Examples:
        >>> import torch
        >>> scores = torch.tensor([[1.0, 3.0]])
        >>> erasing_attention_loss(scores, torch.tensor([[False, True]]))
        tensor(1.5000)
    """
    if scores.dim() != 2 or scores.shape != erased.shape or scores.numel() == 0:
        raise ValueError(
            f"expected scores and erased of the same shape (B, T) with B and T at least 1, got "
            f"scores {tuple(scores.shape)} and erased {tuple(erased.shape)}"
        )
    with without_autocast(scores):
        dtype = accumulation_dtype(scores)
        # Every clip has T frames, so the mean over clips of the mean over frames is one mean.
        return (erased.to(dtype) * scores.to(dtype)).mean()


class ErasingAttentionLoss(nn.Module):
    """Mean attention score of the frames that random erasing hit.

    With e_t = 1 where frame t was erased and s_t its score before the softmax, averaged over
    the batch::

        L = 1/T Σ_t e_t · s_t

    The scores of the live attention have no lower bound; its loss takes the weights in their place.

    Reference:
        Alsehaim and Breckon, "Not 3D Re-ID: a Simple Single Stream 2D Convolution for Robust
        Video Re-identification", ICPR 2020, arXiv 2008.06318.

    Shape:
        - scores: (B, T), at least 0
        - erased: (B, T), 0 or 1 of any type
        - output: (), float32, or float64 for float64 scores

    Raises:
        ValueError: in forward, if a shape is wrong.

    Examples:
        >>> import torch
        >>> loss = ErasingAttentionLoss()
        >>> scores = torch.rand(8, 4, requires_grad=True)
        >>> loss(scores, torch.rand(8, 4) < 0.5).backward()
    """

    def forward(self, scores: Tensor, erased: Tensor) -> Tensor:
        """Return the loss of one batch."""
        return erasing_attention_loss(scores, erased)
