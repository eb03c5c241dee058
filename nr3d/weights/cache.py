"""Where fetched files lie on this machine, and whether they are what they should be."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from nr3d.errors import WeightsError, reason_of
from nr3d.files.atomic import replacing
from nr3d.files.home import expanded, platform_folder
from nr3d.weights.entry import WeightsEntry

BY_HAND = "put there by hand"
"""Source in the receipt of a file that no source of the entry gave."""

_LONGEST_RECEIPT = 1 << 16
_SUFFIXES = (".pth.tar", ".pth", ".pt", ".safetensors", ".tar", ".bin")


@dataclass(frozen=True)
class Receipt:
    """What a fetched file was when it was verified; kept beside it as JSON."""

    sha256: str
    size: int
    source: str


def weights_folder() -> Path:
    """Give the folder of fetched files: under ``$NR3D_HOME``, else the platform's cache folder.

    Raises:
        WeightsError: if there is no home folder that either could lie in.
    """
    named = os.environ.get("NR3D_HOME")
    if named:
        return expanded(named, WeightsError).absolute() / "weights"
    from platformdirs import user_cache_path

    return platform_folder(user_cache_path, "NR3D_HOME", WeightsError) / "weights"


def file_of(entry: WeightsEntry) -> Path:
    """Give the place of an entry's file, there or not; the same whichever source it came from."""
    names = [entry.file or ""] + [
        PurePosixPath(source.url or source.member or "").name for source in entry.sources
    ]
    suffixes = [end for name in names for end in _SUFFIXES if name.endswith(end)]
    return weights_folder() / f"{entry.name}{suffixes[0] if suffixes else '.pth'}"


def is_file(path: Path) -> bool:
    """Tell whether a path is that of a regular file; False for names that no file can have."""
    try:
        return path.is_file()
    except OSError:
        return False


def sha256_of(path: Path) -> str:
    """Give the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_receipt(path: Path) -> Receipt | None:
    """Give the receipt beside a file; None if there is none that can be read."""
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
    """Write down what a file is, now that it is verified."""
    receipt = Receipt(digest, path.stat().st_size, source)
    with replacing(receipt_of(path)) as partial:
        partial.write_text(json.dumps(asdict(receipt), indent=2) + "\n", encoding="utf-8")


def receipt_of(path: Path) -> Path:
    """Give the place of the receipt of a file."""
    return path.with_name(f"{path.name}.json")


def unreadable(error: OSError) -> str:
    """Say why a file cannot be read."""
    return f"it cannot be read ({error.strerror or reason_of(error)})"


def mismatch(expected: str | None, path: Path, digest: str) -> str | None:
    """Say why a file is not the one that is wanted; None if it is.

    Args:
        expected: its SHA-256, whole or its start; None where it was not published: the file is
            then taken if it holds weights.
        path: the file.
        digest: its SHA-256.
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
    """Say why a file in an entry's place is not the entry's; None if it is.

    It is if it has the hash of a source or the entry, or if it has not changed since it was taken
    from a source whose hash is not published. A file without a receipt, put there by hand, gets
    one.
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
