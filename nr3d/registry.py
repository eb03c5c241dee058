"""Where nr3d enters torchreid: the one module that touches its private names."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from nr3d.errors import RegistrationError
from nr3d.host import torchreid

_FACTORY = "__model_factory"
_VIDEO_DATASETS = "__video_datasets"


def register_models(architectures: Mapping[str, Callable[..., Any]]) -> None:
    """Put models into torchreid's factory, and let ``build_model`` default their identities.

    Args:
        architectures: model name to its factory, called with ``num_classes``, ``loss``,
            ``pretrained`` and ``use_gpu``.

    Raises:
        RegistrationError: if torchreid holds a name for something else.
    """
    factory = getattr(torchreid.models, _FACTORY, None)
    if not isinstance(factory, dict):
        raise RegistrationError(
            f"The torchreid at {torchreid.__file__} has no model factory as 0.2.5 and 1.4.0 do: "
            "nr3d cannot register its models. Run `pip install torchreid==0.2.5`."
        )
    for name in architectures:
        _refuse_foreign(factory.get(name), f"model {name!r}")
    factory.update(architectures)
    original = inspect.unwrap(torchreid.models.build_model, stop=lambda f: not _is_ours(f))
    torchreid.models.build_model = _defaulting(original, architectures)


def registered_models() -> list[str]:
    """Names of all models that torchreid's ``build_model`` takes."""
    return sorted(getattr(torchreid.models, _FACTORY, {}))


def registered_video_datasets() -> dict[str, Any]:
    """Video datasets that torchreid knows: name to what builds it.

    Raises:
        RegistrationError: if torchreid does not keep them as 0.2.5 and 1.4.0 do.
    """
    datasets = getattr(torchreid.data.datasets, _VIDEO_DATASETS, None)
    if not isinstance(datasets, dict):
        raise RegistrationError(
            f"The torchreid at {torchreid.__file__} does not list its video datasets as 0.2.5 and "
            "1.4.0 do: nr3d cannot tell which there are. Run `pip install torchreid==0.2.5`."
        )
    return dict(datasets)


def register_names(module: ModuleType, objects: Mapping[str, object]) -> None:
    """Make objects attributes of one of torchreid's modules.

    Args:
        module: such as ``torchreid.losses``.
        objects: attribute name to object.

    Raises:
        RegistrationError: if torchreid holds a name for something else.
    """
    for name in objects:
        _refuse_foreign(getattr(module, name, None), f"{module.__name__}.{name}")
    for name, value in objects.items():
        setattr(module, name, value)


def _is_ours(value: object) -> bool:
    module = getattr(value, "__module__", None) or ""
    return module.split(".")[0] == "nr3d"


def _refuse_foreign(present: object, what: str) -> None:
    if present is not None and not _is_ours(present):
        raise RegistrationError(
            f"torchreid already holds {what} for something else ({present!r}). nr3d does not "
            "overwrite it: import nr3d before what registers it, or rename that."
        )


def _defaulting(
    original: Callable[..., Any], architectures: Mapping[str, Callable[..., Any]]
) -> Callable[..., Any]:
    """Wrap torchreid's ``build_model`` so that our models need no ``num_classes``."""

    @functools.wraps(original)
    def build_model(name: str, *args: Any, **kwargs: Any) -> Any:
        if name in architectures:
            return architectures[name](*args, **kwargs)
        return original(name, *args, **kwargs)

    # functools.wraps copied torchreid's; this function is ours, which _is_ours must see.
    build_model.__module__ = __name__
    return build_model
