"""Not 3D Re-ID for torchreid: importing nr3d registers its models, losses and engine.

A tracklet's way through the package: ``data`` (frames to clips), ``models`` (clips to features),
``losses``, ``metrics`` (features to a ranking), ``features`` (from a network to stored features),
``report`` (the ranking as a picture), ``engine`` (all of it, trained and tested), ``runs`` (from a
configuration), ``cli``. Each imports only from those named before it. ``checking`` looks at
datasets and ``synthetic`` draws them.

Beside it, ``weights`` alone touches the network, ``config`` alone reads YAML and ``registry`` alone
touches torchreid's private names. Below it lie ``errors``, ``files``, ``processes`` and
``parallel``.

Each of them is imported when it is first used: ``import nr3d`` itself imports neither torch nor
torchreid. The registration takes place at the import that makes both nr3d and torchreid present,
in either order.
"""

from typing import TYPE_CHECKING

from nr3d import lazy
from nr3d.registry import follow_torchreid
from nr3d.version import __version__

if TYPE_CHECKING:
    from nr3d import (
        checking,
        config,
        data,
        engine,
        errors,
        features,
        losses,
        metrics,
        models,
        parallel,
        report,
        runs,
        synthetic,
        weights,
    )

__all__ = [
    "__version__",
    "checking",
    "config",
    "data",
    "engine",
    "errors",
    "features",
    "losses",
    "metrics",
    "models",
    "parallel",
    "report",
    "runs",
    "synthetic",
    "weights",
]


__getattr__, __dir__ = lazy.lazy(__name__, {name: "" for name in __all__ if name != "__version__"})

follow_torchreid()
