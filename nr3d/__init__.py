"""Not 3D Re-ID for torchreid: importing nr3d registers its models, losses and engine.

A tracklet's way through the package: ``data`` (frames to clips), ``models`` (clips to features),
``losses``, ``metrics`` (features to a ranking), ``features`` (from a network to stored features),
``report`` (the ranking as a picture), ``engine`` (all of it, trained and tested), ``runs`` (from a
configuration), ``cli``. Each imports only from those named before it. ``checking`` looks at
datasets and ``synthetic`` draws them.

Beside it, ``weights`` alone touches the network, ``config`` alone reads YAML and ``registry`` alone
touches torchreid's private names. Below it lie ``errors``, ``files``, ``processes`` and
``parallel``.
"""

from nr3d import config, data, engine, features, losses, metrics, models, report, weights
from nr3d.host import torchreid as _torchreid
from nr3d.registry import register_models, register_names
from nr3d.version import __version__

models.ARCHITECTURES.follow(register_models)
register_names(
    _torchreid.losses,
    {
        "RankedListLoss": losses.RankedListLoss,
        "CenterLoss": losses.CenterLoss,
        "ErasingAttentionLoss": losses.ErasingAttentionLoss,
        "Not3DLoss": losses.Not3DLoss,
    },
)
register_names(_torchreid.engine, {"VideoNot3DEngine": engine.VideoNot3DEngine})

__all__ = [
    "__version__",
    "config",
    "data",
    "engine",
    "features",
    "losses",
    "metrics",
    "models",
    "report",
    "weights",
]
