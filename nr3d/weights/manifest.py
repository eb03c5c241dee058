"""The facts that a weights file states about itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from nr3d.config import KEYS, read_yaml
from nr3d.errors import ConfigError, WeightsError, parsing, shown
from nr3d.weights.checkpoint import existing, read_checkpoint
from nr3d.weights.entry import WeightsEntry
from nr3d.weights.hashing import sha256_of
from nr3d.weights.index import available
from nr3d.weights.parsing import parse_entry
from nr3d.weights.safetensors_file import is_safetensors, safetensors_metadata

ENTRY_KEY = "nr3d.entry"
"""The metadata key under which a safetensors file holds its entry, as JSON."""


def entry_of(name_or_path: str | Path) -> WeightsEntry | None:
    """Return what is known about weights, without fetching anything.

    Args:
        name_or_path: a name in the index, a training checkpoint or an exported file.

    Returns:
        WeightsEntry | None: the entry in the index, or the facts in the file, without sources; None
        if the file states none.

    Raises:
        WeightsError: if the file is missing or cannot be read.
    """
    if isinstance(name_or_path, str) and "/" not in name_or_path and "." in name_or_path:
        entries = available()
        if name_or_path in entries:
            return entries[name_or_path]
    path = existing(name_or_path)
    # A safetensors file has them in its header, so its tensors need not be read.
    content = {} if is_safetensors(path) else read_checkpoint(path)
    return entry_in(content, path)


def entry_in(content: Mapping[str, Any], path: Path) -> WeightsEntry | None:
    """Return what a file on this machine states about its weights; None if nothing.

    Args:
        content: the file's content from :func:`read_checkpoint`; not used for safetensors.
        path: the file.

    Raises:
        WeightsError: if the facts in the file are not usable.
    """
    if not is_safetensors(path):
        return entry_of_checkpoint(content, path)
    held = safetensors_metadata(path).get(ENTRY_KEY)
    if held is None:
        return None
    with _usable(path):
        entries = json.loads(held)
        if not isinstance(entries, dict) or len(entries) != 1:
            raise ValueError("not one name with its facts")
        ((name, fields),) = entries.items()
    return parse_entry(name, fields, str(path))


def entry_of_checkpoint(
    checkpoint: Mapping[str, Any], path: Path, name: str | None = None
) -> WeightsEntry | None:
    """Return what a training checkpoint states about the use of its weights; None if nothing.

    Args:
        checkpoint: the content of the file.
        path: the file, for messages.
        name: the name of the entry. Default is the architecture with the tag ``run``.

    Raises:
        WeightsError: if the facts in the checkpoint are not usable.
    """
    facts = facts_in(checkpoint, path)
    architecture = facts.get("architecture")
    if checkpoint.get("facts") is None or (name is None and architecture is None):
        return None
    content = {key: value for key, value in facts.items() if key not in _NOT_OF_AN_ENTRY}
    with _usable(path):
        config = content.get("config")
        if isinstance(config, Mapping):
            content["config"] = _without_places(config)
        protocol = facts.get("protocol", "torchreid")
        kinds = facts.get("tracklets") or {}
        content["metrics"] = [
            {
                "dataset": dataset,
                "protocol": protocol,
                "kind": "measured",
                "values": figures,
                **({"tracklets": kinds[dataset]} if dataset in kinds else {}),
            }
            for dataset, figures in (facts.get("results") or {}).items()
        ]
        content["versions"] = checkpoint.get("versions")
    return parse_entry(name or f"{architecture}.run", content, str(path))


def facts_in(checkpoint: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """Return the facts in a training checkpoint by name; empty if nr3d did not write it.

    Raises:
        WeightsError: if the facts are not a mapping of names to values.
    """
    facts = checkpoint.get("facts")
    if facts is None:
        return {}
    if not isinstance(facts, Mapping) or not all(isinstance(key, str) for key in facts):
        raise WeightsError(
            f"{path} has facts that are {shown(facts)}, expected names with values: the file is "
            "not as nr3d wrote it; save or fetch it again."
        )
    return facts


def _usable(path: Path) -> AbstractContextManager[None]:
    return parsing(
        path, "weights with facts of their use", "Fetch or export it again.", WeightsError
    )


def check_beside(path: Path) -> None:
    """Check a weights file against the manifest beside it, of the same name but in ``.yaml``.

    Raises:
        WeightsError: if there is a manifest of this file and it states another SHA-256.
    """
    manifest = path.with_suffix(".yaml")
    try:
        entries = read_yaml(manifest) if manifest.is_file() else {}
    except (ConfigError, OSError):
        return  # a file for another purpose
    for fields in entries.values():
        if isinstance(fields, Mapping) and fields.get("file") == path.name:
            wanted = fields.get("sha256")
            found = sha256_of(path)
            if isinstance(wanted, str) and not found.startswith(wanted.lower()):
                raise WeightsError(
                    f"{path} is not the file of {manifest}: its SHA-256 starts with {found[:12]}, "
                    f"expected {wanted[:12]!r}. Fetch or export both again."
                )


_NOT_OF_AN_ENTRY = ("architecture", "protocol", "results", "tracklets")
"""Facts of a checkpoint that an entry states in another form."""


def _without_places(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without the keys that name files or folders of one machine."""
    places = {key.name for key in KEYS.values() if key.place}
    return {
        section: (
            {key: v for key, v in value.items() if f"{section}.{key}" not in places}
            if isinstance(value, Mapping)
            else value
        )
        for section, value in config.items()
    }
