"""Checks of a loss's settings and inputs, with errors that show the offending values."""

import math

import torch
from torch import Tensor


def check_finite_at_least(minimum: float, **values: float) -> None:
    """Refuse a setting that is below ``minimum``, infinite or not a number.

    Args:
        minimum: smallest value allowed.
        **values: settings by name.

    Raises:
        ValueError: if a value is out of range.
    """
    for name, value in values.items():
        if not (math.isfinite(value) and value >= minimum):
            raise ValueError(f"{name} must be a finite number of at least {minimum:g}, got {value}")


def check_at_least_one(**counts: int) -> None:
    """Refuse a count below 1.

    Args:
        **counts: counts by name.

    Raises:
        ValueError: if a count is below 1.
    """
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")


def check_matrix_and_pids(name: str, matrix: Tensor, pids: Tensor, width: str = "D") -> None:
    """Check that a batch has one row of ``matrix`` and one whole-number label per sample.

    Args:
        name: name of ``matrix`` in the message.
        matrix: values to check.
        pids: identity labels.
        width: letter of the second dimension in the message.

    Shape:
        - matrix: (B, ``width``), B at least 1.
        - pids: (B,)

    Raises:
        ValueError: if a shape is wrong, or the labels are not integers.
    """
    fits = matrix.dim() == 2 and pids.dim() == 1 and matrix.shape[0] == pids.shape[0] > 0
    if not fits:
        raise ValueError(
            f"expected {name} of shape (B, {width}) and pids of shape (B,) with B at least 1, "
            f"got {name} {tuple(matrix.shape)} and pids {tuple(pids.shape)}"
        )
    if pids.is_floating_point() or pids.is_complex():
        raise ValueError(f"expected pids of an integer type, got {pids.dtype}")


def check_pid_range(pids: Tensor, num_classes: int) -> None:
    """Check that every label has a class, where reading the values is free.

    On an accelerator, reading them would make the host wait for the device in every step; there the
    indexing kernel's own assertion reports a bad label.

    Args:
        pids: identity labels.
        num_classes: number of classes, K.

    Shape:
        - pids: (B,)

    Raises:
        ValueError: if a label on the CPU is below 0 or not below ``num_classes``.
    """
    if pids.device.type != "cpu":
        return
    lowest, highest = int(pids.min()), int(pids.max())
    if lowest < 0 or highest >= num_classes:
        raise ValueError(
            f"expected pids from 0 to {num_classes - 1} for {num_classes} classes, got pids from "
            f"{lowest} to {highest}; relabel the training identities to 0..K-1"
        )


def check_two_identities(pids: Tensor) -> None:
    """Check that a batch has a negative to mine.

    Args:
        pids: identity labels.

    Shape:
        - pids: (B,)

    Raises:
        ValueError: if all labels are the same.
    """
    if torch.equal(pids, pids[:1].expand_as(pids)):
        raise ValueError(
            f"the triplet loss needs two identities in a batch, got {len(pids)} clips of one; "
            "draw batches with RandomIdentitySampler"
        )
