"""torchreid's triplet loss combined with softmax, as a criterion of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from nr3d.host import torchreid
from nr3d.losses.checks import (
    check_finite_at_least,
    check_matrix_and_pids,
    check_two_identities,
)
from nr3d.losses.criterion import Criterion, register_criterion
from nr3d.losses.softmax import SoftmaxCriterion


@register_criterion("triplet")
class TripletCriterion(Criterion):
    r"""Weighted sum of torchreid's hard-mined triplet loss and its cross entropy.

    .. math::
        L = w_t \, L_\mathrm{triplet} + w_x \, L_\mathrm{id}

    A term of weight 0 is not computed, as in ``torchreid.engine.VideoTripletEngine``.

    Reference:
        Hermans et al. In Defense of the Triplet Loss for Person Re-Identification. 2017.
        arXiv:1703.07737.

    Args:
        num_classes: number of training identities, K.
        feature_dim: size of the model's feature, D; not used.
        margin: margin of the triplet loss, at least 0.
        weight_t: weight of the triplet loss, at least 0.
        weight_x: weight of the cross entropy, at least 0. The default is that of torchreid's
            default configuration; its engine's own default is 1.
        label_smooth: whether to smooth the labels of the cross entropy by torchreid's ε = 0.1.

    Shape:
        - outputs: logits (B, K) and features (B, D)
        - batch: ``pid`` (B,), from 0 to K-1
        - output: the total, (), and each of the terms ``triplet`` and ``id`` that has a weight, ()

    Raises:
        ValueError: if a setting is out of range or both weights are 0; in ``losses``, if a shape is
            wrong or the batch has a single identity.

    Examples:
        >>> import torch
        >>> criterion = TripletCriterion(num_classes=4, feature_dim=2)
        >>> features = torch.tensor([[0.0, 0.0], [0.0, 3.0], [4.0, 0.0]])
        >>> outputs, pids = (torch.zeros(3, 4), features), torch.tensor([0, 0, 1])
        >>> criterion.losses(outputs, {"pid": pids})[1]  # (0 + 0 + 0) / 3, every other is farther
        {'triplet': tensor(0.)}
    """

    model_loss = "triplet"
    settings: ClassVar[Mapping[str, str]] = {
        "margin": "loss.triplet.margin",
        "weight_t": "loss.triplet.weight_t",
        "weight_x": "loss.triplet.weight_x",
        "label_smooth": "loss.softmax.label_smooth",
    }

    def __init__(
        self,
        num_classes: int,
        feature_dim: int,
        *,
        margin: float = 0.3,
        weight_t: float = 1.0,
        weight_x: float = 0.0,
        label_smooth: bool = True,
    ) -> None:
        super().__init__()
        check_finite_at_least(0, margin=margin, weight_t=weight_t, weight_x=weight_x)
        if weight_t == weight_x == 0:
            raise ValueError(
                "loss.triplet.weight_t and loss.triplet.weight_x are both 0, expected at least one "
                "above 0: there would be no loss"
            )
        self.weight_t, self.weight_x = weight_t, weight_x
        self.hard_triplets = torchreid.losses.TripletLoss(margin)
        self.softmax = SoftmaxCriterion(num_classes, feature_dim, label_smooth=label_smooth)

    def losses(
        self, outputs: tuple[Tensor, ...], batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the weighted sum of a batch, and its terms."""
        logits, features = outputs
        pids = batch["pid"]
        weighted, terms = [], {}
        if self.weight_t > 0:
            check_matrix_and_pids("features", features, pids)
            check_two_identities(pids)
            terms["triplet"] = self.hard_triplets(features, pids)
            weighted.append(self.weight_t * terms["triplet"])
        if self.weight_x > 0:
            terms["id"] = self.softmax.term(logits, pids)
            weighted.append(self.weight_x * terms["id"])
        total = weighted[0] if len(weighted) == 1 else weighted[0] + weighted[1]
        return total, {name: term.detach() for name, term in terms.items()}

    @property
    def leaves_parameters_out(self) -> bool:
        """Whether the classifier, or what follows the features, gets no gradient."""
        return self.weight_x == 0
