"""Where nr3d enters torchreid: the one module that touches its private names.

Importing this module imports neither torch nor torchreid. ``nr3d.models``, ``nr3d.losses`` and
``nr3d.engine`` end with the registration of what they bring; :func:`follow_torchreid` imports them
as soon as torchreid is there.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from nr3d import host
from nr3d.errors import RegistrationError

_FACTORY = "__model_factory"
_VIDEO_DATASETS = "__video_datasets"
_IMAGE_DATASETS = "__image_datasets"

_REGISTERING = ("nr3d.models", "nr3d.losses", "nr3d.engine")
"""Packages that register what they bring when they are imported."""


_FINDERS: dict[str, Callable[[str], Callable[..., Any]]] = {}


def follow_torchreid() -> None:
    """Register nr3d in torchreid: now where torchreid is imported, otherwise when it will be.

    Raises:
        RegistrationError: if torchreid lacks what nr3d needs, or holds one of its names for
            something else. Where torchreid is imported later, that import raises it.
    """
    if "torchreid" in sys.modules:
        _register()
    elif _WATCH not in sys.meta_path:
        sys.meta_path.insert(0, _WATCH)


def register_models(architectures: Mapping[str, Callable[..., Any]]) -> None:
    """Add models to torchreid's factory, and let ``build_model`` default their identities.

    Args:
        architectures: factories by the name of their model, called with ``num_classes``, ``loss``,
            ``pretrained`` and ``use_gpu``.

    Raises:
        RegistrationError: if torchreid holds one of the names for something else.
    """
    models = host.torchreid.models
    factory = getattr(models, _FACTORY, None)
    if not isinstance(factory, dict):
        raise RegistrationError(
            f"The torchreid at {host.torchreid.__file__} has no model factory as 0.2.5 and 1.4.0 "
            "do: nr3d cannot register its models. Run `pip install torchreid==0.2.5`."
        )
    for name in architectures:
        _refuse_foreign(factory.get(name), f"model {name!r}")
    factory.update(architectures)
    original = inspect.unwrap(models.build_model, stop=lambda f: not _is_ours(f))
    models.build_model = _defaulting(original, architectures)


def registered_models() -> list[str]:
    """Return the names of all models that torchreid's ``build_model`` takes, sorted."""
    return sorted(getattr(host.torchreid.models, _FACTORY, {}))


def image_networks() -> list[str]:
    """Return the names of the models in torchreid's factory that are not nr3d's, in its order."""
    factory = getattr(host.torchreid.models, _FACTORY, {})
    return [name for name, made in factory.items() if not _is_ours(made)]


def find_video_models_by(finder: Callable[[str], Callable[..., Any]]) -> None:
    """Let :func:`video_model` find models by a function from their name to their factory."""
    _FINDERS["video models"] = finder


def video_model(name: str) -> Callable[..., Any]:
    """Return the factory of a video model: one of nr3d's, or of an image network as one.

    Packages below ``nr3d.models`` find models by it.

    Args:
        name: a name in torchreid's factory.

    Raises:
        KeyError: if there is none of that name; the message says why.
    """
    assert host.torchreid  # with which the models come
    return _FINDERS["video models"](name)


def registered_video_datasets() -> dict[str, Any]:
    """Return the video datasets that torchreid knows, by name.

    Raises:
        RegistrationError: if torchreid does not keep them as 0.2.5 and 1.4.0 do.
    """
    return _datasets(_VIDEO_DATASETS, "video")


def registered_image_datasets() -> dict[str, Any]:
    """Return the image datasets that torchreid knows, by name.

    Raises:
        RegistrationError: if torchreid does not keep them as 0.2.5 and 1.4.0 do.
    """
    return _datasets(_IMAGE_DATASETS, "image")


def _datasets(private: str, what: str) -> dict[str, Any]:
    datasets = getattr(host.torchreid.data.datasets, private, None)
    if not isinstance(datasets, dict):
        raise RegistrationError(
            f"The torchreid at {host.torchreid.__file__} does not list its {what} datasets as "
            "0.2.5 and 1.4.0 do: nr3d cannot tell which there are. Run `pip install "
            "torchreid==0.2.5`."
        )
    return dict(datasets)


def register_names(module: ModuleType, objects: Mapping[str, object]) -> None:
    """Make objects attributes of one of torchreid's modules.

    Args:
        module: the module, such as ``torchreid.losses``.
        objects: the objects by the name of their attribute.

    Raises:
        RegistrationError: if the module holds one of the names for something else.
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
    """Wrap torchreid's ``build_model`` so that models of nr3d need no ``num_classes``."""

    @functools.wraps(original)
    def build_model(name: str, *args: Any, **kwargs: Any) -> Any:
        if name in architectures:
            return architectures[name](*args, **kwargs)
        return original(name, *args, **kwargs)

    # functools.wraps copied torchreid's; this function is ours, which _is_ours must see.
    build_model.__module__ = __name__
    return build_model


def _register() -> None:
    for name in _REGISTERING:
        importlib.import_module(name)


class _Watch:
    """A finder that registers nr3d once torchreid has been imported, and then removes itself.

    It finds nothing by itself: it asks the other finders, and follows the import of torchreid and
    of each module of nr3d. The registration imports packages of nr3d, so it waits for the end of
    an import of nr3d that brought torchreid in: until then some of them are only half there.
    """

    def __init__(self) -> None:
        self.under_way: list[str] = []

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != "torchreid" and not name.startswith("nr3d."):
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Followed(spec.loader, self)  # type: ignore[assignment]
                return spec
        return None

    @contextlib.contextmanager
    def importing(self, name: str) -> Iterator[None]:
        self.under_way.append(name)
        try:
            with host.quiet() if name == "torchreid" else contextlib.nullcontext():
                yield
        finally:
            self.under_way.remove(name)
        if "torchreid" in sys.modules and not self.under_way and self in sys.meta_path:
            sys.meta_path.remove(self)
            try:
                _register()
            except BaseException:
                sys.meta_path.insert(0, self)  # the next attempt meets the same error
                raise


_WATCH = _Watch()


class _Followed:
    """A module's loader, with the watch told of the beginning and the end of the import."""

    def __init__(self, loader: Any, watch: _Watch) -> None:
        self._loader = loader
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        with self._watch.importing(module.__name__):
            self._loader.exec_module(module)
