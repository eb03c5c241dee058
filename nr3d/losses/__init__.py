"""Training losses of Not 3D Re-ID: one a file, each a pure function and the module around it."""

from nr3d.host import torchreid
from nr3d.losses.center import CenterLoss, center_loss
from nr3d.losses.erasing_attention import ErasingAttentionLoss, erasing_attention_loss
from nr3d.losses.not3d import Not3DLoss
from nr3d.losses.ranked_list import RankedListLoss, ranked_list_loss
from nr3d.registry import register_names

__all__ = [
    "CenterLoss",
    "ErasingAttentionLoss",
    "Not3DLoss",
    "RankedListLoss",
    "center_loss",
    "erasing_attention_loss",
    "ranked_list_loss",
]

register_names(
    torchreid.losses,
    {
        "RankedListLoss": RankedListLoss,
        "CenterLoss": CenterLoss,
        "ErasingAttentionLoss": ErasingAttentionLoss,
        "Not3DLoss": Not3DLoss,
    },
)
