"""The training loss of VPRT: five named terms and their weighted sum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from nr3d.losses.criterion import register_criterion
from nr3d.losses.not3d import LABEL_SMOOTHING, Not3DLoss
from nr3d.losses.osm_caa import ALPHA, NEGATIVE_SHARE, SIGMA, OSMCAALoss


@register_criterion("vprt")
class VPRTLoss(Not3DLoss):
    """Weighted sum of identity, triplet, OSM-CAA, center and erasing-attention loss.

    With β for the share of OSM-CAA, 1 by default, and cross entropy with label smoothing as ID::

        L = ID + (1 - β) · triplet + β · OSM-CAA + 0.0005 · center + E_att

    The vectors of the identities in OSM-CAA are the centers of the center loss.

    Reference:
        Pathak, Eshratifar and Gormish. Video Person Re-ID: Fantastic Techniques and Where to Find
        Them. AAAI 2020. arXiv:1912.05295. Deviations from its public code: the centers follow the
        center loss alone, while there the gradient of OSM-CAA moves them too, multiplied by 2,000
        since the division by the center loss's weight is applied to it; there are as many centers
        as identities, not 751; the triplet loss, which the default β leaves out, is torchreid's.

    Args:
        num_classes: number of training identities, K.
        feature_dim: size of the feature after the neck, D. Paper: 2048.
        sigma: σ of OSM-CAA, above 0. Paper, MARS: 0.9048.
        osm_alpha: α of OSM-CAA, at least 0. Paper, MARS: 2.8437.
        negative_share: l, the weight of OSM-CAA's negative pairs, 0..1. Paper, MARS: 0.5873.
        beta: β, the share of OSM-CAA, 0..1. Paper, MARS: 1.
        **settings: settings of the other terms, as for :class:`Not3DLoss`.

    Attributes:
        center: as for :class:`Not3DLoss`.

    Shape:
        - logits, features, attention_scores, pids, erased: as for :class:`Not3DLoss`
        - output: the total, (), and a dict of the terms 'id', 'osm_caa', 'center' and
          'erasing_attention', each (), unweighted and detached; with β below 1, 'triplet' too, and
          with β = 0, no 'osm_caa'

    Raises:
        ValueError: as for :class:`Not3DLoss`, or if a setting of OSM-CAA is out of range.

    Examples:
        >>> import torch
        >>> loss = VPRTLoss(num_classes=625, feature_dim=2048)
        >>> logits, features, scores = torch.randn(8, 625), torch.randn(8, 2048), torch.rand(8, 4)
        >>> pids, erased = torch.arange(4).repeat_interleave(2), torch.rand(8, 4) < 0.5
        >>> list(loss(logits, features, scores, pids, erased)[1])
        ['id', 'osm_caa', 'center', 'erasing_attention']
    """

    settings: ClassVar[Mapping[str, str]] = {
        "label_smooth": "loss.softmax.label_smooth",
        "label_smoothing_over": "not3d.label_smoothing_over",
        "center_reduction": "not3d.center_reduction",
        "erasing_attention_reduction": "not3d.erasing_attention_reduction",
        "id_weight": "not3d.id_weight",
        "center_weight": "not3d.center_weight",
        "erasing_attention_weight": "not3d.erasing_attention_weight",
        "sigma": "loss.osm_caa.sigma",
        "osm_alpha": "loss.osm_caa.alpha",
        "negative_share": "loss.osm_caa.negative_share",
        "beta": "loss.osm_caa.beta",
    }

    def __init__(
        self,
        num_classes: int,
        feature_dim: int,
        *,
        label_smoothing: float = LABEL_SMOOTHING,
        sigma: float = SIGMA,
        osm_alpha: float = ALPHA,
        negative_share: float = NEGATIVE_SHARE,
        beta: float = 1.0,
        **settings: Any,
    ) -> None:
        super().__init__(num_classes, feature_dim, label_smoothing=label_smoothing, **settings)
        if not 0 <= beta <= 1:
            raise ValueError(f"beta must be from 0 to 1, got {beta}")
        self.beta = beta
        self.osm_caa = OSMCAALoss(sigma, osm_alpha, negative_share)

    def _metric(self, features: Tensor, pids: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        total, terms = features.new_zeros((), dtype=features.dtype), {}
        if self.beta < 1:
            terms["triplet"] = self._triplet_term(features, pids)
            total = total + (1 - self.beta) * terms["triplet"]
        if self.beta > 0:
            terms["osm_caa"] = self.osm_caa(features, pids, self.center.centers.detach())
            total = total + self.beta * terms["osm_caa"]
        return total, terms

    def extra_repr(self) -> str:
        """Name the weights in ``repr``."""
        return (
            f"label_smoothing={self.label_smoothing}, beta={self.beta}, "
            f"id_weight={self.id_weight}, center_weight={self.center_weight}, "
            f"erasing_attention_weight={self.erasing_attention_weight}"
        )
