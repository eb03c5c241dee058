"""The folders and files that a dataset needs, and where they may lie instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from nr3d.data.datasets.findings import Report


def find_missing(report: Report, needed: Mapping[str, str]) -> set[str]:
    """Report what a dataset needs and does not have, and where it may lie instead.

    Args:
        report: report of the dataset, which takes the errors.
        needed: advice for when a file or folder is missing, by its path under the dataset's
            folder.

    Returns:
        set: the paths that are missing.
    """
    folder = report.folder
    if not folder.is_dir():
        report.add("error", f"There is no folder {folder}", _mend_folder(folder, needed))
        return set(needed)
    missing = {relative for relative in needed if not (folder / relative).exists()}
    for relative, remedy in needed.items():
        if relative in missing:
            elsewhere = next(_candidates(folder, relative), None)
            report.add(
                "error",
                f"There is no {folder / relative}",
                f"Move {elsewhere} there." if elsewhere else remedy,
            )
    return missing


def _mend_folder(folder: Path, needed: Iterable[str]) -> str:
    """Return what to do if the whole dataset is not in its place."""
    root = folder.parent
    lying = sorted({Path(path).parts[0] for path in needed if (root / path).exists()})
    if lying and root.name == folder.name:
        return f"--root is the folder above the dataset's: give --root {root.parent}."
    if lying:
        return f"Make {folder} and move {', '.join(lying)} from {root} into it."
    for other in sorted(root.iterdir()):
        if other.is_dir() and _plain(other.name) == _plain(folder.name):
            return f"Rename {other} to {folder.name}."
    return f"Put the dataset there, or give by --root the folder that holds {folder.name}."


def _candidates(folder: Path, relative: str) -> Iterator[Path]:
    """Yield places where an archive, unpacked at a wrong level, may have put a file or folder."""
    parts = Path(relative).parts
    for start in range(len(parts)):
        tail = "/".join(parts[start:])
        if start:
            yield from folder.glob(tail)
        yield from sorted(folder.glob(f"*/{tail}"))
    parent = (folder / relative).parent
    if parent.is_dir():
        yield from (p for p in sorted(parent.iterdir()) if _plain(p.name) == _plain(parts[-1]))


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
