"""Index of weights: the shipped entries and the user's own, which take precedence."""

from __future__ import annotations

import contextlib
import copy
import difflib
import os
from collections.abc import Iterator
from pathlib import Path

from nr3d.config import read_yaml, write_text, yaml_text
from nr3d.errors import ConfigError, WeightsError, reason_of, shown
from nr3d.files.atomic import sole_writer
from nr3d.files.file_states import OncePerState
from nr3d.files.home import expanded, platform_folder
from nr3d.files.locks import Locked, in_turn
from nr3d.registry import registered_models
from nr3d.weights.entry import WeightsEntry
from nr3d.weights.parsing import parse_entry

SHIPPED = Path(__file__).with_name("index.yaml")

_PATIENCE = 60.0
"""Maximum wait for another process that writes the index, in seconds."""

_HEADER = "# Weights of one's own: architecture.tag, its sources and what is known of it.\n"


def user_index() -> Path:
    """Return the path of the index with the user's own entries, which need not exist.

    It is ``$NR3D_WEIGHTS_INDEX`` if set, else ``weights.yaml`` in the platform's configuration
    folder.

    Raises:
        WeightsError: if neither can be determined because the user has no home folder.
    """
    named = os.environ.get("NR3D_WEIGHTS_INDEX")
    if named:
        return expanded(named, WeightsError).absolute()
    from platformdirs import user_config_path

    return platform_folder(user_config_path, "NR3D_WEIGHTS_INDEX", WeightsError) / "weights.yaml"


_MISTYPED = 0.9
"""Similarity, in [0, 1], from which an unknown model's name counts as a mistyped one."""


def available() -> dict[str, WeightsEntry]:
    """Return all entries by name; the user's own replace shipped entries of the same name.

    A process parses each index file again only after the file has changed.

    Raises:
        WeightsError: if an entry is invalid; the message names the file, the entry, the field
            and the reason.

    Examples:
        >>> available()["nr3d_resnet50_ibn.imagenet"].layout
        'torchvision'
    """
    return read_index(SHIPPED) | _own(user_index())


def find(name: str) -> WeightsEntry:
    """Return the entry with a name.

    Args:
        name: ``architecture.tag``.

    Raises:
        WeightsError: if there is none; the message suggests a name or lists all.
    """
    entries = available()
    if name not in entries:
        close = difflib.get_close_matches(name, entries, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(sorted(entries))}."
        raise WeightsError(
            f"No weights are named {shown(name)}. {hint} `nr3d weights add` takes a file of your "
            f"own into {describe_user_index()}."
        )
    return entries[name]


def describe_user_index() -> str:
    """Return a phrase that names the user's index and mentions whether it is missing."""
    path = user_index()
    return f"your index {path}" + ("" if path.is_file() else " (no such file yet)")


def read_index(path: Path) -> dict[str, WeightsEntry]:
    """Read the entries of an index file, by name.

    A process parses the file again only after it has changed. The caller may modify the result.

    Args:
        path: path of the index file.

    Raises:
        WeightsError: if the file is not YAML or an entry is invalid; the message names the first.
    """
    entries = _parsed(path)
    _refuse_unknown_models(entries, path)
    return copy.deepcopy(entries)


def _refuse_unknown_models(entries: dict[str, WeightsEntry], path: Path) -> None:
    """Raise an error for an entry whose model has a mistyped name.

    Any other unknown model may be registered in another process. torchreid is consulted only if
    necessary.
    """
    if path == SHIPPED:
        return  # all of its models are nr3d's
    shipped = {entry.architecture for entry in _parsed(SHIPPED).values()}
    unsure = [entry for entry in entries.values() if entry.architecture not in shipped]
    known = registered_models() if unsure else []
    for entry in unsure:
        close = difflib.get_close_matches(entry.architecture, known, n=1, cutoff=_MISTYPED)
        if close and entry.architecture not in known:
            raise WeightsError(
                f"{path}: entry {entry.name}: there is no model {entry.architecture}; did you mean "
                f"{close[0]}?"
            )


def _parse(path: Path) -> dict[str, WeightsEntry]:
    try:
        content = read_yaml(path)
    except ConfigError as error:
        raise WeightsError(str(error)) from error
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read: {error.strerror or reason_of(error)}."
        ) from error
    return {name: parse_entry(name, fields, str(path)) for name, fields in content.items()}


_parsed = OncePerState(_parse)


def add(entry: WeightsEntry, *, replace: bool = False) -> Path:
    """Write an entry into the user's index.

    Args:
        entry: entry to add.
        replace: whether to replace an existing entry of the user's with that name. The file is
            then rewritten without its comments.

    Returns:
        Path: path of the index file.

    Raises:
        WeightsError: if the user's index holds another entry of that name and ``replace`` is
            False, or if the index or the entry is invalid. The file is not changed.
        OutputError: if the file cannot be written. It is not changed.
    """
    path = user_index()
    if _is_same(_own(path).get(entry.name), entry):
        return path  # even if the file cannot be written
    with _in_turn(path):
        _add(entry, path, replace=replace)
    return path


def _own(path: Path) -> dict[str, WeightsEntry]:
    return read_index(path) if path.is_file() else {}


def _is_same(present: WeightsEntry | None, entry: WeightsEntry) -> bool:
    return present is not None and present.to_mapping() == entry.to_mapping()


@contextlib.contextmanager
def _in_turn(path: Path) -> Iterator[None]:
    """Wait for other processes that write the file, so that none of their entries is lost."""

    def have_patience(refusal: Locked, waited: float) -> None:
        if waited > _PATIENCE:
            raise WeightsError(
                f"{path} has been written by {refusal.holder} for {_PATIENCE:g} s: try again when "
                "that has ended."
            ) from refusal

    with in_turn(lambda: sole_writer(path), have_patience, every=0.01):
        yield


def _add(entry: WeightsEntry, path: Path, *, replace: bool) -> None:
    """Write an entry into an index that no other process is writing."""
    own = _own(path)
    present = own.get(entry.name)
    if _is_same(present, entry):
        return
    if present is not None and not replace:
        raise WeightsError(
            f"{path} holds another {entry.name} already: choose another tag for this one, or "
            "replace that with --replace."
        )
    if present is None:
        text = path.read_text(encoding="utf-8") if path.is_file() else _HEADER
        if text and not text.endswith("\n"):
            text += "\n"
        text += yaml_text({entry.name: entry.to_mapping()})
    else:
        own[entry.name] = entry
        text = _HEADER + yaml_text({name: each.to_mapping() for name, each in own.items()})
    parse_entry(entry.name, entry.to_mapping(), str(path))  # raises if it could not be read back
    write_text(path, text)
