"""Weights: found, downloaded, verified, read and written."""

from nr3d.weights.checkpoint import read_checkpoint, write_checkpoint
from nr3d.weights.imagenet import IMAGENET_URLS, fetch_imagenet
from nr3d.weights.loading import load_pretrained, load_weights

__all__ = [
    "IMAGENET_URLS",
    "fetch_imagenet",
    "load_pretrained",
    "load_weights",
    "read_checkpoint",
    "write_checkpoint",
]
