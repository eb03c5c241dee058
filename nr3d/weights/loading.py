"""Weights into a model: every key is accounted for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from nr3d.errors import WeightsError
from nr3d.weights.checkpoint import read_checkpoint
from nr3d.weights.imagenet import fetch_imagenet

logger = logging.getLogger(__name__)

_TRUNK_ONLY = "conv1.weight"
"""A key of every file with torchvision's ResNet names, which hold a trunk and nothing else."""

_CLASSIFIER = "classifier.weight"


def load_pretrained(model: nn.Module, name: str, pretrained: bool | str | Path) -> None:
    """Load what ``pretrained`` of ``build_model`` asks for.

    Args:
        model: a network with a ``backbone``.
        name: its registered name.
        pretrained: ``False`` for nothing, ``True`` for the trunk's ImageNet
            weights, or a file as :func:`load_weights` takes it.

    Raises:
        WeightsError: if the weights cannot be found, downloaded, verified or loaded.
    """
    if isinstance(pretrained, bool):
        if pretrained:
            load_weights(model, fetch_imagenet(name))
    else:
        load_weights(model, pretrained)


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load a file's weights into a model; a key that does not fit is an error.

    Takes a checkpoint of this package, or a file with torchvision's ResNet names (IBN-a or not),
    which goes into the trunk. A ``module.`` before every key is taken off. A classifier of another
    number of identities is left at its start value, which is logged.

    Args:
        model: a network with a ``backbone`` and a ``classifier``.
        path: the file.

    Raises:
        WeightsError: if the file cannot be read, lacks a key of the model or has one too many;
            the message lists them.
    """
    checkpoint = read_checkpoint(path)
    state = _tensors(checkpoint.get("state_dict", checkpoint), path)
    if _TRUNK_ONLY in state:
        head = {key for key in state if key.startswith("fc.")}
        trunk = {key: value for key, value in state.items() if key not in head}
        backbone = model.get_submodule("backbone")
        _check(backbone, trunk, path)
        backbone.load_state_dict(trunk, strict=False)  # checked above
        logger.info("Loaded the trunk from %s", path)
        return
    own = model.state_dict()
    if _CLASSIFIER in state and state[_CLASSIFIER].shape != own[_CLASSIFIER].shape:
        logger.info(
            "%s classifies %d identities, the model %d: its classifier is not loaded",
            path,
            len(state[_CLASSIFIER]),
            len(own[_CLASSIFIER]),
        )
        state[_CLASSIFIER] = own[_CLASSIFIER]
    _check(model, state, path)
    model.load_state_dict(state, strict=False)  # checked above
    logger.info("Loaded the weights of %s", path)


def _tensors(state: object, path: str | Path) -> dict[str, Tensor]:
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise WeightsError(
            f"{path} holds no weights: expected a state dict, or a dict that has one as "
            "'state_dict'."
        )
    return {key.removeprefix("module."): value for key, value in state.items()}


def _check(model: nn.Module, state: Mapping[str, Tensor], path: str | Path) -> None:
    """Refuse a state dict whose keys or shapes are not the model's."""
    own = model.state_dict()
    # Files saved before torch 0.4 have no batch counters; nothing is computed from them here.
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    shapes = [
        f"{key} is {tuple(state[key].shape)}, the model's {tuple(own[key].shape)}"
        for key in state
        if key in own and state[key].shape != own[key].shape
    ]
    problems = [
        f"{what}: {', '.join(keys[:4])}{f' and {len(keys) - 4} more' if len(keys) > 4 else ''}"
        for what, keys in (
            ("missing in the file", missing),
            ("unknown to the model", unexpected),
            ("another shape", shapes),
        )
        if keys
    ]
    if problems:
        raise WeightsError(
            f"{path} does not fit this model ({'; '.join(problems)}). Build the model that it was "
            "trained as: the same name and aggregation."
        )
