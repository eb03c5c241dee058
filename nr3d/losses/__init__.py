"""Training losses, one per file, and the base class through which the engine uses them."""

from nr3d.host import torchreid
from nr3d.losses.center import CenterLoss, center_loss
from nr3d.losses.criterion import CRITERIA, Criterion, register_criterion
from nr3d.losses.erasing_attention import ErasingAttentionLoss, erasing_attention_loss
from nr3d.losses.not3d import Not3DLoss
from nr3d.losses.osm_caa import OSMCAALoss, osm_caa_loss
from nr3d.losses.ranked_list import RankedListLoss, ranked_list_loss
from nr3d.losses.softmax import SoftmaxCriterion
from nr3d.losses.triplet import TripletCriterion
from nr3d.losses.vprt import VPRTLoss
from nr3d.registry import register_names

__all__ = [
    "CRITERIA",
    "CenterLoss",
    "Criterion",
    "ErasingAttentionLoss",
    "Not3DLoss",
    "OSMCAALoss",
    "RankedListLoss",
    "SoftmaxCriterion",
    "TripletCriterion",
    "VPRTLoss",
    "center_loss",
    "erasing_attention_loss",
    "osm_caa_loss",
    "ranked_list_loss",
    "register_criterion",
]

register_names(
    torchreid.losses,
    {
        "RankedListLoss": RankedListLoss,
        "CenterLoss": CenterLoss,
        "ErasingAttentionLoss": ErasingAttentionLoss,
        "Not3DLoss": Not3DLoss,
        "OSMCAALoss": OSMCAALoss,
        "VPRTLoss": VPRTLoss,
    },
)
