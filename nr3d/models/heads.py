"""Heads: from a clip's feature to the logits of the identities, in training."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import nn

from nr3d.models.layers.dropout_classifier import DropoutClassifier
from nr3d.models.layers.neck import BottleneckNorm
from nr3d.models.registered import Registered

Head: TypeAlias = Callable[[int, int], tuple[nn.Module, nn.Module]]
"""Function of D, the size of a feature, and K, the number of identities, that returns a
normalisation of features (B, D) and a classifier of its output with logits (B, K)."""

HEADS: Registered[Head] = Registered("head")
"""Heads by name."""


def register_head(name: str) -> Callable[[Head], Head]:
    """Register a head, so that architectures can refer to it by name.

    The function gets D and K and returns two modules: a normalisation of features (B, D), and a
    classifier of normalised features with an attribute ``out_features`` (K).

    Args:
        name: the name of the head.

    Raises:
        RegistrationError: if the name is taken.

    Examples:
        >>> @register_head("plain")
        ... def plain(feature_dim: int, num_classes: int) -> tuple[nn.Module, nn.Module]:
        ...     return nn.Identity(), nn.Linear(feature_dim, num_classes)
        >>> HEADS.remove("plain")  # so that no other example sees it
    """

    def register(head: Head) -> Head:
        HEADS.add(name, head)
        return head

    return register


def build_head(name: str, feature_dim: int, num_classes: int) -> tuple[nn.Module, nn.Module]:
    """Build the normalisation and the classifier of a head.

    Args:
        name: one of :data:`HEADS`.
        feature_dim: D, the size of a feature.
        num_classes: K, the number of identities.

    Raises:
        KeyError: if the name is unknown; the message lists the known names.
    """
    return HEADS.find(name)(feature_dim, num_classes)


@register_head("neck")
def neck(feature_dim: int, num_classes: int) -> tuple[nn.Module, nn.Module]:
    """Return a batch norm without a learnt bias, and a linear classifier without bias.

    Reference:
        Luo et al. Bag of Tricks and A Strong Baseline for Deep Person Re-identification.
        CVPRW 2019. arXiv:1903.07071.
    """
    classifier = nn.Linear(feature_dim, num_classes, bias=False)
    nn.init.normal_(classifier.weight, std=0.001)
    return BottleneckNorm(feature_dim), classifier


@register_head("linear")
def linear(feature_dim: int, num_classes: int) -> tuple[nn.Module, nn.Module]:
    """Return no normalisation, and a linear classifier with bias."""
    return nn.Identity(), nn.Linear(feature_dim, num_classes)


@register_head("dropout")
def dropout(feature_dim: int, num_classes: int) -> tuple[nn.Module, nn.Module]:
    """Return a batch norm, and ReLU, dropout and a linear classifier with bias.

    Reference:
        Li et al. Global-Local Temporal Representations for Video Person Re-Identification.
        ICCV 2019. arXiv:1908.10049. Li et al. Multi-scale Temporal Cues Learning for Video Person
        Re-Identification. TIP 2020, whose four norms of 128 channels are one of 512 here.
    """
    return BottleneckNorm(feature_dim, learn_bias=True), DropoutClassifier(feature_dim, num_classes)
