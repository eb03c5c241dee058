"""Fetched files on this machine: where they are, and whether they are what they should be."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from nr3d.errors import WeightsError, reason_of
from nr3d.files.home import expanded, platform_folder
from nr3d.files.json_files import write_json
from nr3d.weights.entry import WeightsEntry
from nr3d.weights.hashing import sha256_of

BY_HAND = "put there by hand"
"""Source in the receipt of a file that came from no source of the entry."""

_LONGEST_RECEIPT = 1 << 16
_SUFFIXES = (".pth.tar", ".pth", ".pt", ".safetensors", ".tar", ".bin")


@dataclass(frozen=True)
class Receipt:
    """Record of a fetched file when it was verified, kept beside the file as JSON.

    Args:
        sha256: SHA-256 of the file, in hexadecimal.
        size: size of the file in bytes.
        source: source that it came from, or :data:`BY_HAND`.
    """

    sha256: str
    size: int
    source: str


def weights_folder() -> Path:
    """Return the folder of fetched files: under ``$NR3D_HOME``, else the platform's cache folder.

    Raises:
        WeightsError: if neither can be determined because the user has no home folder.
    """
    named = os.environ.get("NR3D_HOME")
    if named:
        return expanded(named, WeightsError).absolute() / "weights"
    from platformdirs import user_cache_path

    return platform_folder(user_cache_path, "NR3D_HOME", WeightsError) / "weights"


def file_of(entry: WeightsEntry) -> Path:
    """Return the path of an entry's file, which need not exist; it is the same for all sources.

    Args:
        entry: entry of the index.
    """
    names = [entry.file or ""] + [
        PurePosixPath(source.url or source.member or "").name for source in entry.sources
    ]
    suffixes = [end for name in names for end in _SUFFIXES if name.endswith(end)]
    return weights_folder() / f"{entry.name}{suffixes[0] if suffixes else '.pth'}"


def is_file(path: Path) -> bool:
    """Return whether a path is that of a regular file; False for a name that no file can have.

    Args:
        path: any path.
    """
    try:
        return path.is_file()
    except OSError:
        return False


def read_receipt(path: Path) -> Receipt | None:
    """Return the receipt beside a file; None if there is none that can be read.

    Args:
        path: path of the file.
    """
    if not is_file(receipt_of(path)):
        return None
    try:
        with receipt_of(path).open("rb") as file:
            fields = json.loads(file.read(_LONGEST_RECEIPT))
        receipt = Receipt(**fields)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    known = isinstance(receipt.sha256, str) and isinstance(receipt.source, str)
    return receipt if known else None


def write_receipt(path: Path, digest: str, source: str) -> None:
    """Write the receipt of a file that has been verified.

    Args:
        path: path of the file.
        digest: its SHA-256 in hexadecimal.
        source: source that it came from.
    """
    write_json(receipt_of(path), asdict(Receipt(digest, path.stat().st_size, source)))


def receipt_of(path: Path) -> Path:
    """Return the path of a file's receipt.

    Args:
        path: path of the file.
    """
    return path.with_name(f"{path.name}.json")


def unreadable(error: OSError) -> str:
    """Return a message of why a file cannot be read.

    Args:
        error: error of reading it.
    """
    return f"it cannot be read ({error.strerror or reason_of(error)})"


def mismatch(expected: str | None, path: Path, digest: str) -> str | None:
    """Return why a file is not the expected one; None if it is.

    Args:
        expected: expected SHA-256, whole or its first digits; None where none is published. The
            file is then accepted if it holds weights.
        path: path of the file.
        digest: its SHA-256 in hexadecimal.
    """
    if expected is not None:
        if digest.startswith(expected):
            return None
        shown = max(8, min(len(expected), 12))
        return f"its SHA-256 starts with {digest[:shown]}, expected {expected[:shown]}"
    from nr3d.weights.checkpoint import read_tensors

    try:
        read_tensors(path)
    except WeightsError as error:
        return str(error).replace(str(path), "it", 1)
    return None


def wrong_with(entry: WeightsEntry, path: Path) -> str | None:
    """Return why a file at an entry's path is not the entry's; None if it is.

    A file is the entry's if it has the SHA-256 of the entry or of one of its sources, or if it has
    not changed since it came from a source whose SHA-256 is not published. A receipt is written for
    a file that has none because a person put it there.

    Args:
        entry: entry of the index.
        path: path of the file.
    """
    try:
        digest = sha256_of(path)
    except OSError as error:
        return unreadable(error)
    receipt = read_receipt(path)
    known = {entry.hash_of(source): str(source) for source in entry.sources}
    if entry.sha256 is not None:
        known.setdefault(entry.sha256, "")
    fits = [expected for expected in known if expected and digest.startswith(expected)]
    if not fits and receipt is not None:
        if receipt.sha256 != digest:
            return (
                f"its SHA-256 starts with {digest[:8]}, it was {receipt.sha256[:8]} when it was "
                "fetched"
            )
        unhashed = [str(source) for source in entry.sources if entry.hash_of(source) is None]
        if receipt.source in (*unhashed, BY_HAND):
            return None
    if not fits:
        reason = mismatch(None if None in known else next(iter(known), None), path, digest)
        if reason is not None:
            return reason
    if receipt is None or receipt.sha256 != digest:
        with contextlib.suppress(OSError):  # a cache that is shared and read-only
            write_receipt(path, digest, known[fits[0]] if fits else BY_HAND)
    return None
