"""The version, in one place for the package, its build and its checkpoints."""

from __future__ import annotations

__version__ = "0.1.0"


def versions() -> dict[str, str]:
    """Return the versions of the software that a result depends on, by package name."""
    import platform

    import torch
    import torchvision

    from nr3d.host import torchreid

    return {
        "nr3d": __version__,
        "torchreid": str(torchreid.__version__),
        "torch": str(torch.__version__),
        "torchvision": str(torchvision.__version__),
        "python": platform.python_version(),
    }
