"""Image networks of torchreid as architectures, which are made when they are asked for."""

from __future__ import annotations

import functools

from nr3d.models.families.architecture import ARCHITECTURES, Architecture
from nr3d.models.trunks.torchreid_network import REFUSED
from nr3d.registry import image_networks


def find_architecture(name: str) -> Architecture | None:
    """Return the architecture of a name, nr3d's or of torchreid's image network; None if unknown.

    Args:
        name: the name, as ``model.name`` takes it.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    if name in REFUSED or name not in image_networks():
        return None
    return _of_image_network(name)


def architecture_of(name: str) -> Architecture:
    """Return the architecture of a name: one of nr3d's, or any image network of torchreid's.

    The latter's features of the frames are averaged by default. The feature of the clip is taken
    before the neck, so that with torchreid's weights it is the mean of torchreid's features.

    Args:
        name: the name, as ``model.name`` takes it.

    Raises:
        KeyError: if there is none; the message says why.

    Examples:
        >>> import torch
        >>> model = architecture_of("osnet_x0_25")(10, loss="not3d", pretrained=False).eval()
        >>> model(torch.rand(2, 4, 3, 64, 32)).shape
        torch.Size([2, 512])
    """
    found = find_architecture(name)
    if found is None:
        raise KeyError(f"Unknown model: {name!r}, {expected_instead_of(name)}")
    return found


def expected_instead_of(name: str) -> str:
    """Return what is expected instead of a name that :func:`find_architecture` does not find."""
    why = f"which is none for video ({REFUSED[name]}), " if name in REFUSED else ""
    return (
        f"{why}expected one of {', '.join(ARCHITECTURES)}, or another of torchreid's image "
        "networks (`nr3d models` lists them)"
    )


def usable_image_networks() -> list[str]:
    """Return the names of torchreid's image networks that :func:`architecture_of` takes."""
    return [name for name in image_networks() if name not in REFUSED]


@functools.cache
def _of_image_network(name: str) -> Architecture:
    return Architecture(
        name,
        "torchreid",
        {"name": name},
        aggregation="mean",
        feature="before",
        summary=f"torchreid's {name}, mean over frames",
    )
