"""``use_gpu``, ``engine`` and ``model``: the device, the engine, the network and its weights."""

from __future__ import annotations

from nr3d.config.scopes import EVERY, IMAGES, Command, Key, Scope
from nr3d.config.values import SOME_PLACE, Choice, Flag, FlagOrText, Text

KEYS = (
    Key(
        "use_gpu",
        True,
        Flag(),
        "whether to compute on a GPU where there is one",
        Scope.MACHINE,
        EVERY,
    ),
    Key(
        "engine",
        "nr3d",
        Choice(choices=("nr3d", "torchreid")),
        "engine that trains; torchreid's own take loss.name softmax or triplet",
        Scope.STEPS,
        Command.TRAIN,
    ),
    Key(
        "model.name",
        "nr3d_resnet50_ibn",
        Text(),
        "name of the network, as `nr3d models` lists it",
        Scope.STEPS | Scope.FEATURES,
        IMAGES,
        "model",
    ),
    Key(
        "model.aggregation",
        "default",
        Text(),
        "aggregation of the features of a clip's frames; default: the network's own",
        Scope.STEPS | Scope.FEATURES,
        IMAGES,
    ),
    Key(
        "model.pretrained",
        True,
        FlagOrText(empty=True),
        "whether the trunk starts from ImageNet weights, or name or file of others",
        Scope.WEIGHTS,
        Command.TRAIN,
    ),
    Key(
        "model.load_weights",
        "",
        SOME_PLACE,
        "file of the weights that the whole network starts from",
        Scope.WEIGHTS,
        Command.TRAIN,
        own=True,
    ),
    Key(
        "model.resume",
        "",
        SOME_PLACE,
        "checkpoint of the run to continue",
        Scope.MACHINE,
        Command.TRAIN,
        own=True,
    ),
)
