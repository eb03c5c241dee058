"""Fetching and verification of the file of an index entry, from this machine or its sources."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath

from nr3d.errors import WeightsError, printable
from nr3d.files.atomic import flush_to_disk
from nr3d.files.locks import Locked, in_turn, locked
from nr3d.weights.archive import download_member
from nr3d.weights.cache import (
    file_of,
    is_file,
    mismatch,
    unreadable,
    write_receipt,
    wrong_with,
)
from nr3d.weights.drive import download_drive
from nr3d.weights.entry import Source, WeightsEntry
from nr3d.weights.hashing import forget_sha256, rename_hashed, sha256_of
from nr3d.weights.http import PATIENCE, Patience, SourceError, download
from nr3d.weights.index import find
from nr3d.weights.parts import clear, storing

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verification:
    """Result of :func:`verify`.

    Args:
        name: name of the entry.
        path: path of its file on this machine; None if there is none.
        state: ``ok``, ``wrong`` or ``missing``.
        detail: explanation for a person.
    """

    name: str
    path: Path | None
    state: str
    detail: str


def fetch(name: str | WeightsEntry, *, patience: Patience = PATIENCE) -> Path:
    """Return the verified file of an index entry, after downloading it if necessary.

    A file that is already on this machine is used in place: from a ``path`` source, the cache, or
    torch.hub's cache. Otherwise the sources are tried in order. A download receives its final name
    once it is verified; an interrupted one is resumed by the next call. If several processes fetch
    the same file at once, only one downloads it.

    Args:
        name: name of an entry, or the entry itself.
        patience: limits on attempts, time and rate for each source.

    Returns:
        Path: path of the file, whose content is what the entry states.

    Raises:
        WeightsError: if there is no such entry, the disk is full, or no source provides the file;
            in the last case the message names each source with the reason, and where to put the
            file by hand.

    Examples:
        >>> nr3d.weights.fetch("nr3d_resnet50_ibn.imagenet").name  # doctest: +SKIP
        'nr3d_resnet50_ibn.imagenet.pth'
    """
    entry = find(name) if isinstance(name, str) else name
    place, failed = file_of(entry), dict[str, str]()
    local = _local(entry, place, failed)
    if local is not None:
        return local
    if _offline():
        raise WeightsError(_nowhere(entry, place, failed, offline=True))
    with storing(place.parent):
        place.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(place) and not is_file(place):
            raise WeightsError(f"{place} is in the way of a file: remove it.")
        with _locked(place, entry.name):
            clear(place, {_part_of(entry, source, place).name for source in entry.sources})
            local = _in_cache(entry, place, failed)  # by the process that had the lock
            if local is None and _from_sources(entry, place, failed, patience):
                clear(place, set())
                return place
    if local is not None:
        return local
    raise WeightsError(_nowhere(entry, place, failed, offline=False))


def cached(name: str | WeightsEntry) -> Path | None:
    """Return the file of an entry on this machine, unverified; None if there is none.

    Args:
        name: name of an entry, or the entry itself.

    Raises:
        WeightsError: if there is no such entry.
    """
    entry = find(name) if isinstance(name, str) else name
    places = [Path(source.path) for source in entry.sources if source.path]
    for path in (*places, file_of(entry), *_in_hub(entry)):
        if is_file(path):
            return path
    return None


def verify(name: str | WeightsEntry) -> Verification:
    """Read an entry's file on this machine and check it, without using the network.

    Args:
        name: name of an entry, or the entry itself.

    Raises:
        WeightsError: if there is no such entry.
    """
    entry = find(name) if isinstance(name, str) else name
    path = cached(entry)
    if path is None:
        return Verification(entry.name, None, "missing", f"no file at {file_of(entry)}")
    forget_sha256(path)  # a damaged disk does not change the times of a file
    reason = _wrong_at(entry, path)
    if reason is None:
        return Verification(entry.name, path, "ok", f"{path}, SHA-256 {sha256_of(path)}")
    return Verification(entry.name, path, "wrong", f"{path}: {reason}")


# On this machine


def _offline() -> bool:
    return os.environ.get("NR3D_OFFLINE", "").strip().lower() in ("1", "true", "yes", "on")


def _wrong_at(entry: WeightsEntry, path: Path) -> str | None:
    """Return what is wrong with an entry's file, in any location; None if nothing is."""
    if path == file_of(entry):
        return wrong_with(entry, path)
    for source in entry.sources:
        if source.path and Path(source.path) == path:
            return _mismatch(entry, source, path)
        if source.url and path in _hub_files(source):
            return _mismatch(entry, source, path)
    return "it is not of this entry"


def _mismatch(entry: WeightsEntry, source: Source, path: Path) -> str | None:
    try:
        return mismatch(entry.hash_of(source), path, sha256_of(path))
    except OSError as error:
        return unreadable(error)


def _local(entry: WeightsEntry, place: Path, failed: dict[str, str]) -> Path | None:
    """Return a verified file on this machine; record in ``failed`` why others are not used."""
    for source in entry.sources:
        if source.path:
            path = Path(source.path)
            reason = _wrong_at(entry, path) if is_file(path) else "no such file"
            if reason is None:
                return path
            failed[str(source)] = reason
    found = _in_cache(entry, place, failed)
    if found is not None:
        return found
    for path in _in_hub(entry):
        reason = _wrong_at(entry, path)
        if reason is None:
            return path
        failed[str(path)] = reason
    return None


def _in_cache(entry: WeightsEntry, place: Path, failed: dict[str, str]) -> Path | None:
    if not is_file(place):
        return None
    reason = wrong_with(entry, place)
    if reason is None:
        return place
    failed[str(place)] = reason
    return None


def _hub_files(source: Source) -> list[Path]:
    name = PurePosixPath(source.url or "").name
    return [_hub_folder() / "checkpoints" / name] if name else []


def _hub_folder() -> Path:
    """Return torch.hub's folder by its documented rule, without importing torch."""
    if "torch" in sys.modules:  # the program may have called torch.hub.set_dir
        import torch

        return Path(torch.hub.get_dir())
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", f"{cache}/torch")).expanduser() / "hub"


def _in_hub(entry: WeightsEntry) -> list[Path]:
    """Return the files in torch.hub's cache named like a source whose SHA-256 is known."""
    return [
        path
        for source in entry.sources
        if source.url and entry.hash_of(source) is not None
        for path in _hub_files(source)
        if is_file(path)
    ]


# From the sources


def _from_sources(
    entry: WeightsEntry, place: Path, failed: dict[str, str], patience: Patience
) -> bool:
    """Download from the first source that provides the file; record why others fail."""
    for source in entry.sources:
        if source.path:
            continue  # tried before
        try:
            _download(entry, source, place, patience)
        except SourceError as error:
            failed[str(source)] = str(error)
            continue
        for where, reason in failed.items():
            logger.warning("%s: not from %s: %s", entry.name, printable(where), reason)
        return True
    return False


@contextmanager
def _locked(place: Path, name: str) -> Iterator[None]:
    """Wait for processes that fetch the same file, and then keep others from fetching it."""

    def tell(refusal: Locked, waited: float) -> None:
        if not waited:
            logger.info("Waiting for %s, which fetches %s", refusal.holder, name)

    with in_turn(lambda: locked(place.with_name(f"{place.name}.lock"), place), tell):
        yield


def _part_of(entry: WeightsEntry, source: Source, place: Path) -> Path:
    """Return the path of a source's partial file, which depends on the expected bytes."""
    known = f"{source} {entry.hash_of(source)} {_size_from(entry, source)}"
    return place.with_name(f"{place.name}.{sha256(known.encode()).hexdigest()[:8]}.part")


def _size_from(entry: WeightsEntry, source: Source) -> int | None:
    """Return the size in bytes of the file that a source provides; None if unknown."""
    return None if source.sha256 not in (None, entry.sha256) else entry.size


def _download(entry: WeightsEntry, source: Source, place: Path, patience: Patience) -> None:
    """Download from one source, verify the file, and give it its final name."""
    part = _part_of(entry, source, place)
    resumed = part.exists()
    reason = _download_once(entry, source, place, part, patience)
    if reason is not None and resumed:
        # The old bytes may be at fault, not the new ones.
        reason = _download_once(entry, source, place, part, patience)
    if reason is not None:
        raise SourceError(reason)


def _download_once(
    entry: WeightsEntry, source: Source, place: Path, part: Path, patience: Patience
) -> str | None:
    """Return why a source's file is not the right one; None once the file is in its place."""
    label, size, whole = entry.name, _size_from(entry, source), part
    if source.drive:
        download_drive(source.drive, part, label=label, size=size, patience=patience)
    elif source.zip:
        member = source.member or ""
        whole = download_member(source.zip, member, part, label=label, size=size, patience=patience)
    else:
        download(source.url or "", part, label=label, size=size, patience=patience)
    digest = sha256_of(whole)
    reason = mismatch(entry.hash_of(source), whole, digest)
    if reason is None:
        flush_to_disk(whole)
        rename_hashed(whole, place)
        write_receipt(place, digest, str(source))
    whole.unlink(missing_ok=True)
    return reason


def _nowhere(entry: WeightsEntry, place: Path, failed: dict[str, str], *, offline: bool) -> str:
    """Return a one-line message: what was tried, and what to do."""
    tried = "; ".join(f"{printable(where)}: {reason}" for where, reason in failed.items())
    by_hand = f"put the file by hand at {place}, or build without weights (pretrained=False)"
    if not offline:
        tried = tried or "it has no source"
        return f"{entry.name} could not be fetched ({tried}). Try again, {by_hand}."
    remote = " or ".join(str(source) for source in entry.sources if not source.path)
    return (
        f"{entry.name} is not on this machine{f' ({tried})' if tried else ''} and NR3D_OFFLINE "
        f"allows no network. Fetch it from {remote or 'its source'} elsewhere and {by_hand}."
    )
