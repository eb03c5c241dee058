"""The version, in one place for the package, its build and its checkpoints."""

from __future__ import annotations

__version__ = "0.1.0"


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
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
