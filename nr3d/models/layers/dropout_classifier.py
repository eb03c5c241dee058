"""A classifier of rectified features with dropout."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class DropoutClassifier(nn.Linear):
    r"""Linear classifier after a ReLU and dropout.

    .. math::
        logits = W \, \mathrm{dropout}(\mathrm{ReLU}(f)) + b

    Args:
        features: D, the size of a feature.
        classes: K, the number of identities.
        probability: probability that a value is dropped in training, 0..1. Default is 0.5.

    Shape:
        - Input: :math:`(B, D)`
        - Output: :math:`(B, K)`

    Examples:
        >>> import torch
        >>> DropoutClassifier(512, 625)(torch.rand(4, 512)).shape
        torch.Size([4, 625])
    """

    def __init__(self, features: int, classes: int, probability: float = 0.5) -> None:
        super().__init__(features, classes)
        self.probability = probability
        nn.init.normal_(self.weight, std=0.001)
        nn.init.zeros_(self.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Classify features (B, D)."""
        return super().forward(F.dropout(F.relu(features), self.probability, self.training))
