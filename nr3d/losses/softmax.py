"""torchreid's softmax loss as a criterion of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from nr3d.host import torchreid
from nr3d.losses.checks import check_matrix_and_pids
from nr3d.losses.criterion import Criterion, register_criterion


@register_criterion("softmax")
class SoftmaxCriterion(Criterion):
    """Cross entropy over the identities: ``torchreid.losses.CrossEntropyLoss``.

    Reference:
        Szegedy et al. Rethinking the Inception Architecture for Computer Vision. CVPR 2016 (label
        smoothing).

    Args:
        num_classes: number of training identities, K.
        feature_dim: size of the model's feature, D; not used.
        label_smooth: whether to smooth the labels by torchreid's ε = 0.1.

    Shape:
        - outputs: logits (B, K)
        - batch: ``pid`` (B,), from 0 to K-1
        - output: the total, (), and the term ``id``, ()

    Raises:
        ValueError: in ``losses``, if a shape is wrong.

    Examples:
        >>> import torch
        >>> criterion = SoftmaxCriterion(num_classes=4, feature_dim=8, label_smooth=False)
        >>> total, _ = criterion.losses((torch.zeros(2, 4),), {"pid": torch.tensor([0, 3])})
        >>> total  # log 4
        tensor(1.3863)
    """

    model_loss = "softmax"
    settings: ClassVar[Mapping[str, str]] = {"label_smooth": "loss.softmax.label_smooth"}

    def __init__(self, num_classes: int, feature_dim: int, *, label_smooth: bool = True) -> None:
        super().__init__()
        self.cross_entropy = torchreid.losses.CrossEntropyLoss(
            num_classes, use_gpu=False, label_smooth=label_smooth
        )

    def term(self, logits: Tensor, pids: Tensor) -> Tensor:
        """Compute the cross entropy of logits (B, K) and labels (B,)."""
        check_matrix_and_pids("logits", logits, pids, width="K")
        # It makes its targets on the CPU, and moves them to the GPU only with this flag.
        self.cross_entropy.use_gpu = logits.is_cuda
        loss: Tensor = self.cross_entropy(logits, pids)
        return loss

    def losses(
        self, outputs: tuple[Tensor, ...], batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the cross entropy of a batch."""
        (logits,) = outputs
        loss = self.term(logits, batch["pid"])
        return loss, {"id": loss.detach()}
