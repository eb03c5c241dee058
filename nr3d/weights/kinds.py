"""Kinds of files that are not checkpoints, recognised by their first bytes."""

from __future__ import annotations

import re
from pathlib import Path

from nr3d.errors import printable

_AGAIN = "fetch the file itself"
_EXTRACT = "extract it and give the checkpoint inside"
_STATE = "save the model's state dict by torch.save"

_STARTS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "a gzip archive", _EXTRACT),
    (b"BZh", "a bzip2 archive", _EXTRACT),
    (b"\xfd7zXZ\0", "an xz archive", _EXTRACT),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", _EXTRACT),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _EXTRACT),
    (b"Rar!\x1a\x07", "a RAR archive", _EXTRACT),
    (b"\x93NUMPY", "a NumPy array (.npy)", _STATE),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, such as Keras's", "convert it to a state dict"),
    (b"GGUF", "a GGUF file", "fetch the network's PyTorch weights"),
    (b"\x89PNG", "an image", _AGAIN),
    (b"\xff\xd8\xff", "an image", _AGAIN),
    (b"GIF8", "an image", _AGAIN),
    (b"%PDF", "a PDF document", _AGAIN),
    (
        b"version https://git-lfs",
        "a Git LFS pointer, which stands for the file itself",
        "run `git lfs pull` where it comes from",
    ),
)
"""First bytes of files, what such a file is, and what to do instead."""

_MARKUP = re.compile(rb"\s*(<!doctype|<html|<head|<\?xml|<!--)", re.IGNORECASE)


def what_it_is(path: Path) -> str | None:
    """Return what a file is, and what to do instead, if it does not begin as a checkpoint does.

    Args:
        path: path of an existing file.

    Returns:
        str | None: a phrase such as ``"a gzip archive: extract it …"``; None for a file that may
        be a checkpoint.
    """
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        return "an empty file: fetch or save it again"
    for start, kind, advice in _STARTS:
        if head.startswith(start):
            return f"{kind}: {advice}"
    if head[257:262] == b"ustar":
        return f"a tar archive: {_EXTRACT}"
    if head[:1] == b"\x08" and re.match(rb"\x08[\x01-\x14](\x12|:|\x1a)", head):
        return "an ONNX file: fetch the network's PyTorch weights"
    if _MARKUP.match(head.removeprefix(b"\xef\xbb\xbf")):
        return f"a web page: {_AGAIN}, and mind logins and quotas"
    if _is_text(head):
        return f"a text file: {_AGAIN}"
    return None


def what_a_zip_is(names: list[str]) -> str | None:
    """Return what a zip archive is, and what to do instead, if ``torch.save`` did not write it.

    Args:
        names: names of its members.

    Returns:
        str | None: a phrase as of :func:`what_it_is`; None for an archive that has a ``data.pkl``
        and no code.
    """
    ends = {name.split("/", 1)[-1] for name in names}
    if any(end.startswith("code/") for end in ends) and "constants.pkl" in ends:
        return (
            "a TorchScript archive, a network with its code: save torch.jit.load(…).state_dict() "
            "by torch.save"
        )
    if "data.pkl" in ends:
        return None
    if names and all(name.endswith(".npy") for name in names):
        return f"a file of NumPy arrays (.npz): {_STATE}"
    held = ", ".join(printable(name, 40) for name in names[:3]) or "nothing"
    return f"a zip archive that holds {held} and no data.pkl: {_EXTRACT}"


def _is_text(head: bytes) -> bool:
    """Return whether bytes are text, whose last character may be cut off."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:
            return False
        text = head[: error.start].decode("utf-8")
    return all(character.isprintable() or character in "\t\r\n\f" for character in text)
