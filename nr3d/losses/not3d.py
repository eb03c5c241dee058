"""The training loss of Not 3D Re-ID: four named terms and their weighted sum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Optimizer

from nr3d.host import torchreid
from nr3d.losses.center import CenterLoss, CenterReduction
from nr3d.losses.checks import (
    check_finite_at_least,
    check_matrix_and_pids,
    check_pid_range,
    check_two_identities,
)
from nr3d.losses.criterion import Criterion, register_criterion
from nr3d.losses.erasing_attention import ErasingAttentionLoss, ErasingAttentionReduction
from nr3d.losses.precision import accumulation_dtype, without_autocast
from nr3d.losses.ranked_list import RankedListLoss

MetricLoss: TypeAlias = Literal["ranked_list", "triplet"]

SmoothingOver: TypeAlias = Literal["identities", "batch"]

TRIPLET_MARGIN = 0.3
"""Margin of the triplet loss, torchreid's default."""

LABEL_SMOOTHING = 0.1
"""Label smoothing of the paper, and of torchreid if ``loss.softmax.label_smooth`` is on."""


@register_criterion("not3d")
class Not3DLoss(Criterion):
    """Weighted sum of identity, ranked list, center and erasing-attention loss.

    With the default weights, β = 0.0005 and cross entropy with label smoothing ε as ID::

        L = ID + RLL + β · center + E_att

    For comparison, torchreid's triplet loss with hard mining can replace RLL.

    Reference:
        Alsehaim and Breckon, "Not 3D Re-ID: a Simple Single Stream 2D Convolution for Robust
        Video Re-identification", ICPR 2020, arXiv 2008.06318. The deviations of ``RankedListLoss``
        and ``CenterLoss`` from their papers apply. Public code of the method sums E_att over T;
        the authors' later code also smooths labels over the batch.

    Args:
        num_classes: number of training identities, K.
        feature_dim: size of the feature after the neck, D. Paper: 2048.
        label_smoothing: ε of the ID loss, 0..1. Paper: 0.1.
        label_smoothing_over: number that ε is divided by to give the target of each identity:
            'identities' for K (paper), or 'batch' for B, as the authors' later code has it. The
            latter's targets add up to 1 - ε + ε K / B, 1.88 for 625 identities and 64 clips.
        margin: m of the ranked list loss, at least 0. Paper: 1.3.
        alpha: α of the ranked list loss, at least 0. Paper: 2.0.
        temperature: τ of the ranked list loss, at least 0. Paper: 1.0.
        negative_weight: λ of the ranked list loss, at least 0. Paper: 1.0.
        center_reduction: reduction of the center loss, 'mean' or 'half_sum'.
        erasing_attention_reduction: reduction of the erasing-attention loss over T, 'mean' (paper)
            or 'sum'.
        id_weight: weight of the ID loss, at least 0. Paper: 1.
        ranked_list_weight: weight of the ranked list loss, or of the loss that replaces it, at
            least 0. Paper: 1.
        center_weight: β, weight of the center loss, at least 0. Paper: 0.0005.
        erasing_attention_weight: weight of the erasing-attention loss, at least 0. Paper: 1.
        metric_loss: 'ranked_list' (paper), or 'triplet' for torchreid's ``TripletLoss`` with margin
            0.3, on unnormalised features.

    Attributes:
        center: :class:`CenterLoss`, whose centers get a gradient scaled by ``center_weight``; the
            optimizer of :meth:`optimizers` undoes the scaling before its step.

    Shape:
        - logits: (B, K)
        - features: (B, D)
        - attention_scores: (B, T), before the softmax; of the live attention, the weights
        - pids: (B,), from 0 to K-1
        - erased: (B, T), 0 or 1 of any type
        - output: the total, (), and a dict of the terms 'id', 'ranked_list', 'center' and
          'erasing_attention', each (), unweighted and detached; with the triplet loss, 'triplet'
          replaces 'ranked_list'

    Raises:
        ValueError: if a setting is out of range; in forward, if a shape is wrong, a label is
            out of range (on the CPU), or the batch has a single identity for the triplet loss.

    Examples:
        >>> import torch
        >>> loss = Not3DLoss(num_classes=625, feature_dim=2048)
        >>> logits = torch.randn(8, 625, requires_grad=True)
        >>> features, scores = torch.randn(8, 2048), torch.rand(8, 4)
        >>> pids, erased = torch.arange(4).repeat_interleave(2), torch.rand(8, 4) < 0.5
        >>> total, terms = loss(logits, features, scores, pids, erased)
        >>> total.backward()
        >>> list(terms)
        ['id', 'ranked_list', 'center', 'erasing_attention']
    """

    model_loss = "not3d"
    batch_extras = ("erased",)
    settings: ClassVar[Mapping[str, str]] = {
        "label_smooth": "loss.softmax.label_smooth",
        "label_smoothing_over": "not3d.label_smoothing_over",
        "margin": "not3d.margin",
        "alpha": "not3d.alpha",
        "temperature": "not3d.temperature",
        "negative_weight": "not3d.negative_weight",
        "center_reduction": "not3d.center_reduction",
        "erasing_attention_reduction": "not3d.erasing_attention_reduction",
        "id_weight": "not3d.id_weight",
        "ranked_list_weight": "not3d.ranked_list_weight",
        "center_weight": "not3d.center_weight",
        "erasing_attention_weight": "not3d.erasing_attention_weight",
        "metric_loss": "not3d.metric_loss",
    }

    def __init__(
        self,
        num_classes: int,
        feature_dim: int,
        *,
        label_smoothing: float = LABEL_SMOOTHING,
        margin: float = 1.3,
        alpha: float = 2.0,
        temperature: float = 1.0,
        negative_weight: float = 1.0,
        center_reduction: CenterReduction = "mean",
        id_weight: float = 1.0,
        ranked_list_weight: float = 1.0,
        center_weight: float = 5e-4,
        erasing_attention_weight: float = 1.0,
        metric_loss: MetricLoss = "ranked_list",
        label_smoothing_over: SmoothingOver = "identities",
        erasing_attention_reduction: ErasingAttentionReduction = "mean",
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing must be from 0 to 1, got {label_smoothing}")
        if label_smoothing_over not in get_args(SmoothingOver):
            raise ValueError(
                f"label_smoothing_over is {label_smoothing_over!r}, expected one of "
                f"{', '.join(get_args(SmoothingOver))}"
            )
        if metric_loss not in ("ranked_list", "triplet"):
            raise ValueError(
                f"metric_loss is {metric_loss!r}, expected one of ranked_list, triplet"
            )
        check_finite_at_least(
            0,
            id_weight=id_weight,
            ranked_list_weight=ranked_list_weight,
            center_weight=center_weight,
            erasing_attention_weight=erasing_attention_weight,
        )
        self.num_classes = num_classes
        self.feature_dim = feature_dim
        self.label_smoothing = label_smoothing
        self.label_smoothing_over = label_smoothing_over
        self.id_weight = id_weight
        self.ranked_list_weight = ranked_list_weight
        self.center_weight = center_weight
        self.erasing_attention_weight = erasing_attention_weight
        self.metric_loss = metric_loss

        self.ranked_list = RankedListLoss(margin, alpha, temperature, negative_weight)
        self.center = CenterLoss(num_classes, feature_dim, center_reduction)
        self.erasing_attention = ErasingAttentionLoss(erasing_attention_reduction)
        self.triplet = torchreid.losses.TripletLoss(TRIPLET_MARGIN)

    @classmethod
    def configured(
        cls, num_classes: int, feature_dim: int, settings: Mapping[str, Any]
    ) -> Not3DLoss:
        """Build the loss that a configuration describes; the latter turns smoothing on or off."""
        rest = dict(settings)
        smoothing = LABEL_SMOOTHING if rest.pop("label_smooth", True) else 0.0
        return cls(num_classes, feature_dim, label_smoothing=smoothing, **rest)

    def losses(
        self, outputs: tuple[Tensor, ...], batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the total of a batch and its terms; without ``erased``, no frame was erased."""
        logits, features, scores = outputs
        erased = batch.get("erased")
        erased = torch.zeros_like(scores) if erased is None else erased  # (B, T)
        found: tuple[Tensor, dict[str, Tensor]] = self(
            logits, features, scores, batch["pid"], erased
        )
        return found

    def states(self) -> dict[str, nn.Module]:
        """Return the centers, as ``centers``."""
        return {"centers": self.center}

    def optimizers(self, lr: float) -> dict[str, Optimizer]:
        """Return the SGD of the centers, which takes their gradient without ``center_weight``.

        Args:
            lr: learning rate of the centers. Paper: 0.5.
        """
        optimizer = SGD(self.center.parameters(), lr=lr)
        optimizer.register_step_pre_hook(self._divide_weight_out)
        return {"center_optimizer": optimizer}

    def _divide_weight_out(self, optimizer: Optimizer, *_: Any) -> None:
        """Divide the weight out of the centers' gradient; at weight 0 they do not move."""
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if self.center_weight > 0:
                    parameter.grad /= self.center_weight
                else:
                    parameter.grad = None

    def forward(
        self,
        logits: Tensor,
        features: Tensor,
        attention_scores: Tensor,
        pids: Tensor,
        erased: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the total of one batch and its terms by name."""
        self._check_shapes(logits, features, attention_scores, pids)
        check_pid_range(pids, self.num_classes)

        id_term = self._id_term(logits.to(accumulation_dtype(logits)), pids)
        metric, metric_terms = self._metric(features, pids)
        center_term = self.center(features, pids)
        erasing_attention_term = self.erasing_attention(attention_scores, erased)

        total = (
            self.id_weight * id_term
            + metric
            + self.center_weight * center_term
            + self.erasing_attention_weight * erasing_attention_term
        )
        terms = {
            "id": id_term.detach(),
            **{name: term.detach() for name, term in metric_terms.items()},
            "center": center_term.detach(),
            "erasing_attention": erasing_attention_term.detach(),
        }
        return total, terms

    def _id_term(self, logits: Tensor, pids: Tensor) -> Tensor:
        epsilon = self.label_smoothing
        if self.label_smoothing_over == "identities":
            return F.cross_entropy(logits, pids, label_smoothing=epsilon)
        own = F.cross_entropy(logits, pids)
        all_identities = F.log_softmax(logits, dim=1).sum(dim=1).mean()
        return (1 - epsilon) * own - epsilon / len(logits) * all_identities

    def _metric(self, features: Tensor, pids: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted metric loss of a batch, and its terms by name."""
        term: Tensor = (
            self.ranked_list(features, pids)
            if self.metric_loss == "ranked_list"
            else self._triplet_term(features, pids)
        )
        return self.ranked_list_weight * term, {self.metric_loss: term}

    def _triplet_term(self, features: Tensor, pids: Tensor) -> Tensor:
        check_two_identities(pids)
        # Distances are differences of large squares and need the precision of the other terms.
        with without_autocast(features):
            hard: Tensor = self.triplet(features.to(accumulation_dtype(features)), pids)
        return hard

    def _check_shapes(
        self, logits: Tensor, features: Tensor, attention_scores: Tensor, pids: Tensor
    ) -> None:
        check_matrix_and_pids("logits", logits, pids, width="K")
        check_matrix_and_pids("features", features, pids)
        check_matrix_and_pids("attention_scores", attention_scores, pids, width="T")
        if logits.shape[1] != self.num_classes or features.shape[1] != self.feature_dim:
            raise ValueError(
                f"expected logits (B, {self.num_classes}) and features (B, {self.feature_dim}), "
                f"got logits {tuple(logits.shape)} and features {tuple(features.shape)}"
            )

    def extra_repr(self) -> str:
        """Name the weights in ``repr``."""
        return (
            f"label_smoothing={self.label_smoothing}, "
            f"label_smoothing_over={self.label_smoothing_over!r}, "
            f"metric_loss={self.metric_loss!r}, "
            f"id_weight={self.id_weight}, "
            f"ranked_list_weight={self.ranked_list_weight}, center_weight={self.center_weight}, "
            f"erasing_attention_weight={self.erasing_attention_weight}"
        )
