"""ImageNet weights of the trunks: where they are, fetched and verified."""

from __future__ import annotations

import hashlib
import re
import sys
from http.client import HTTPException
from pathlib import Path

import torch

from nr3d.errors import WeightsError

_IBN_NET = "https://github.com/XingangPan/IBN-Net/releases/download/v1.0/"
_TORCHVISION = "https://download.pytorch.org/models/"

IMAGENET_URLS: dict[str, str] = {
    "nr3d_resnet18_ibn": _IBN_NET + "resnet18_ibn_a-2f571257.pth",
    "nr3d_resnet34_ibn": _IBN_NET + "resnet34_ibn_a-94bc1577.pth",
    "nr3d_resnet50_ibn": _IBN_NET + "resnet50_ibn_a-d9d0bb7b.pth",
    "nr3d_resnet101_ibn": _IBN_NET + "resnet101_ibn_a-59ea0ac6.pth",
    "nr3d_resnet50": _TORCHVISION + "resnet50-0676ba61.pth",
}
"""Model name to its trunk's ImageNet file; the file's name ends in the start of its SHA-256."""


def fetch_imagenet(name: str) -> Path:
    """Give the ImageNet file of a model's trunk, downloaded once into torch.hub's folder.

    Args:
        name: a model of :data:`IMAGENET_URLS`.

    Returns:
        Path: the file, whose SHA-256 starts as its name says.

    Raises:
        WeightsError: if it cannot be downloaded, or is not the file that its name promises.
    """
    url = IMAGENET_URLS[name]
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    if not path.is_file():
        _download(url, path)
    _verify(path)
    return path


def _digest_in_name(path: Path) -> str:
    found = re.search(r"-([0-9a-f]{8,64})\.", path.name)
    if found is None:
        raise WeightsError(f"{path.name} does not end in its SHA-256 and cannot be verified.")
    return found.group(1)


def _download(url: str, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # torch.hub writes beside, checks the hash and only then gives the file its name.
        torch.hub.download_url_to_file(
            url, str(path), hash_prefix=_digest_in_name(path), progress=sys.stderr.isatty()
        )
    except (OSError, HTTPException, RuntimeError) as error:
        raise WeightsError(
            f"Could not download {url} ({error}). Put the file by hand at {path}, or build the "
            "model without pretrained weights: pretrained=False."
        ) from error


def _verify(path: Path) -> None:
    expected = _digest_in_name(path)
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    if not digest.hexdigest().startswith(expected):
        raise WeightsError(
            f"{path} is not the file that its name promises: its SHA-256 starts with "
            f"{digest.hexdigest()[:8]}, expected {expected}. It may be cut short or a web page; "
            "delete it and try again."
        )
