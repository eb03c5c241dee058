"""Names in folders: listing them, litter among them, and which are valid."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

_LITTER = {
    *("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "$recycle.bin"),
    *("@eadir", "#recycle", "@recycle", "lost+found", "system volume information"),
}
"""Names, in lower case, of files that operating systems and storage devices leave in folders."""


@dataclass
class Listing:
    """The names in a folder, by kind and in order.

    Args:
        folders: names of folders.
        files: names of regular files.
        neither: names of everything else, such as pipes, devices and broken links.
    """

    folders: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    neither: list[str] = field(default_factory=list)


def look_into(folder: str | Path) -> Listing:
    """Return the names in a folder."""
    found = Listing()
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            try:
                is_dir, is_file = entry.is_dir(), entry.is_file()
            except OSError:  # such as a link to itself
                is_dir = is_file = False
            kind = found.folders if is_dir else found.files if is_file else found.neither
            kind.append(entry.name)
    return found


def names_in(folder: str | Path) -> tuple[list[str], list[str]]:
    """Return the names of a folder's folders and of all else, in order, without hidden ones."""
    found = look_into(folder)
    others = sorted([*found.files, *found.neither])
    folders, others = (
        [name for name in names if not name.startswith(".")] for names in (found.folders, others)
    )
    return folders, others


def is_litter(name: str) -> bool:
    """Return whether a name is hidden, or that of a file which a system keeps for itself.

    Examples:
        >>> [name for name in (".DS_Store", "__MACOSX", "Thumbs.db", "0001") if is_litter(name)]
        ['.DS_Store', '__MACOSX', 'Thumbs.db']
    """
    return name.startswith(".") or name.casefold() in _LITTER


def is_name(value: object) -> bool:
    """Return whether a value can be the name of something in a folder.

    Examples:
        >>> is_name("person_0001"), is_name(".."), is_name("a/b"), is_name(7)
        (True, False, False, False)
    """
    if not isinstance(value, str) or value in ("", ".", "..") or "/" in value or "\0" in value:
        return False
    try:
        return len(os.fsencode(value)) <= 255
    except UnicodeEncodeError:
        return False
