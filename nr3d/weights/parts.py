"""Parts of files that are being downloaded, with notes beside them from which to resume."""

from __future__ import annotations

import contextlib
import errno
import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nr3d.errors import WeightsError, reason_of
from nr3d.files.atomic import clear_partial
from nr3d.weights.cache import receipt_of

MOST_BYTES = 16 << 30
"""Largest file in bytes, where no index states its size."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_STALE = 30 * 24 * 3600.0
"""Age in seconds at which the part of another entry is removed."""
_NAME = re.compile(r"(?P<file>.+)\.[0-9a-f]{8}\.part(\.from|\.unpacked)?")


def size_of(part: Path) -> int:
    """Return the size of a part in bytes; 0 if there is none.

    Args:
        part: path of the part.
    """
    return part.stat().st_size if part.exists() else 0


def recall(part: Path) -> dict[str, Any]:
    """Return the notes of a part: ``validator`` and ``total`` of its file, where known.

    Args:
        part: path of the part.
    """
    try:
        with _notes(part).open("rb") as file:
            notes = json.loads(file.read(4096))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(notes, dict):
        return {}
    known: dict[str, Any] = {}
    if isinstance(validator := notes.get("validator"), str) and _is_header(validator):
        known["validator"] = validator
    if isinstance(total := notes.get("total"), int):
        known["total"] = total
    return known


def remember(part: Path, validator: str, total: int | None) -> None:
    """Write the notes of a part, by which its file is recognised later.

    Args:
        part: path of the part.
        validator: entity tag or time of modification that the server states; empty for none.
        total: size of the whole file in bytes; None if it is not known.
    """
    notes = {"validator": validator if _is_header(validator) else ""}
    _notes(part).write_text(
        json.dumps(notes | ({} if total is None else {"total": total})), encoding="utf-8"
    )


def forget_notes(part: Path) -> None:
    """Remove the notes of a part that is complete or will be started afresh.

    Args:
        part: path of the part.
    """
    _notes(part).unlink(missing_ok=True)


def forget(part: Path) -> None:
    """Remove a part and its notes.

    Args:
        part: path of the part.
    """
    part.unlink(missing_ok=True)
    forget_notes(part)


def check_room(part: Path, needed: int) -> None:
    """Check that the disk has room for a download.

    Args:
        part: path of the part, in an existing folder.
        needed: number of bytes that are still to be written.

    Raises:
        WeightsError: if fewer bytes are free.
    """
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise WeightsError(
            f"{part.parent} has {free / 1e6:,.0f} MB free and the download needs "
            f"{needed / 1e6:,.0f} MB: free some space, or set NR3D_HOME to a larger disk."
        )


@contextlib.contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn a failure to write a download into an error that says how to resume it.

    Unlike :func:`nr3d.errors.writing`, it covers whatever else is written beside the file.

    Args:
        path: path that the message names.

    Raises:
        WeightsError: if the block raises an OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            what_to_do = "free some space and run the command again, which resumes from that part"
        else:
            what_to_do = "set NR3D_HOME to a folder that can"
        reason = getattr(error, "reason", "") or error.strerror or reason_of(error)
        raise WeightsError(f"{path} cannot be written ({reason}): {what_to_do}.") from error


def clear(place: Path, keep: set[str]) -> None:
    """Remove what killed or earlier fetches left beside the path of a file.

    Args:
        place: final path of the file; no other process may be fetching it.
        keep: names of parts that can be resumed.
    """
    with contextlib.suppress(OSError):
        clear_partial(receipt_of(place))
    for path in place.parent.iterdir():
        found = _NAME.fullmatch(path.name)
        if found is None:
            continue
        if found["file"] == place.name:
            old = not any(path.name.startswith(name) for name in keep)
        else:
            old = _is_old(path)
        if old or not path.is_file():
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > _STALE
    except OSError:
        return False


def _notes(part: Path) -> Path:
    return part.with_name(f"{part.name}.from")


def _is_header(text: str) -> bool:
    """Return whether a text can be sent back as the value of a header."""
    return re.fullmatch(r"[!-~]([ -~]{0,298}[!-~])?", text) is not None
