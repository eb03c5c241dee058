"""``not3d``: the method's own aggregation, sampling, schedule and losses."""

from __future__ import annotations

from nr3d.config.scopes import IMAGES, Command, Key, Scope
from nr3d.config.values import SHARE, WEIGHT, Choice, Number, Text, Whole

_TRAIN = Command.TRAIN

KEYS = (
    Key(
        "not3d.aggregation",
        "default",
        Text(),
        "aggregation of the features of a clip's frames; default: the network's own",
        Scope.STEPS | Scope.FEATURES,
        IMAGES,
    ),
    Key(
        "not3d.attention",
        "paper",
        Choice(choices=("paper", "live")),
        "form of the attention: as published, or one whose scores keep their gradient",
        Scope.STEPS | Scope.FEATURES,
        IMAGES,
    ),
    Key(
        "not3d.attention_lr_mult",
        0.01,
        Number(0, 1000),
        "factor of the learning rate of the live attention",
        Scope.STEPS,
        _TRAIN,
    ),
    Key(
        "not3d.test_sample_method",
        "dense",
        Choice(choices=("dense", "evenly")),
        "choice of the frames that a tracklet is tested by",
        Scope.FEATURES,
        IMAGES,
        "sample_method",
    ),
    Key(
        "not3d.crop_padding",
        10,
        Whole(0, 4096, "a frame is held in memory whole"),
        "padding at each side before random_crop, in pixels",
        Scope.STEPS,
        _TRAIN,
    ),
    Key(
        "not3d.warmup_epochs",
        10,
        Whole(0),
        "number of epochs of warmup_multi_step's warm-up",
        Scope.STEPS,
        _TRAIN,
    ),
    Key(
        "not3d.warmup_factor",
        0.01,
        SHARE,
        "factor of the learning rate at the start of the warm-up",
        Scope.STEPS,
        _TRAIN,
    ),
    Key(
        "not3d.metric_loss",
        "ranked_list",
        Choice(choices=("ranked_list", "triplet")),
        "metric loss beside the identity loss",
        Scope.STEPS,
        _TRAIN,
    ),
    Key("not3d.margin", 1.3, WEIGHT, "margin m of the ranked list loss", Scope.STEPS, _TRAIN),
    Key(
        "not3d.alpha",
        2.0,
        WEIGHT,
        "distance α within which negatives count in the ranked list loss",
        Scope.STEPS,
        _TRAIN,
    ),
    Key(
        "not3d.temperature",
        1.0,
        WEIGHT,
        "temperature τ of the weights of its negatives",
        Scope.STEPS,
        _TRAIN,
    ),
    Key(
        "not3d.negative_weight",
        1.0,
        WEIGHT,
        "weight λ of its negatives against its positives",
        Scope.STEPS,
        _TRAIN,
    ),
    Key(
        "not3d.center_reduction",
        "mean",
        Choice(choices=("mean", "half_sum")),
        "reduction of the center loss over a batch",
        Scope.STEPS,
        _TRAIN,
    ),
    Key(
        "not3d.center_lr",
        0.5,
        Number(0, 1000),
        "learning rate of the centers",
        Scope.STEPS,
        _TRAIN,
    ),
    Key("not3d.id_weight", 1.0, WEIGHT, "weight of the identity loss", Scope.STEPS, _TRAIN),
    Key("not3d.ranked_list_weight", 1.0, WEIGHT, "weight of the metric loss", Scope.STEPS, _TRAIN),
    Key("not3d.center_weight", 5e-4, WEIGHT, "weight β of the center loss", Scope.STEPS, _TRAIN),
    Key(
        "not3d.erasing_attention_weight",
        1.0,
        WEIGHT,
        "weight of the erasing-attention loss",
        Scope.STEPS,
        _TRAIN,
    ),
)
