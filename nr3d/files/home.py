"""Folders of the user's: ``~`` in paths, and the platform's own for caches and settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nr3d.errors import Nr3dError, printable


def expanded(path: str | Path, error_type: type[Nr3dError] = Nr3dError) -> Path:
    """Give a path with the home folder in the place of its ``~`` or ``~user``.

    Args:
        path: any path.
        error_type: the error to raise.

    Raises:
        Nr3dError: of the given type, if there is no such home folder.

    Examples::
        >>> expanded("~no-such-user/mars")
        Traceback (most recent call last):
        nr3d.errors.Nr3dError: ~no-such-user/mars: there is no home folder for ~no-such-user. \
Write the whole path, or set HOME.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        shown, user = printable(str(path)), printable(Path(path).parts[0], 60)
        raise error_type(
            f"{shown}: there is no home folder for {user}. Write the whole path, or set HOME."
        ) from error


def platform_folder(
    find: Callable[..., Path], variable: str, error_type: type[Nr3dError] = Nr3dError
) -> Path:
    """Give nr3d's folder of the platform.

    Args:
        find: a function of platformdirs, such as ``user_cache_path``.
        variable: of the environment, that names a folder or file instead.
        error_type: the error to raise.

    Raises:
        Nr3dError: of the given type, if the user has no home folder for it.
    """
    try:
        folder = find("nr3d", appauthor=False)
    except RuntimeError:
        folder = Path("~")
    if folder.parts[:1] == ("~",):  # what is left of ~ where nobody knows the user
        raise error_type(f"There is no home folder for this user: set {variable}, or HOME.")
    return folder
