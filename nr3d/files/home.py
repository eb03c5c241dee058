"""The user's folders: ``~`` in paths, and the platform's folders for caches and settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nr3d.errors import Nr3dError, printable


def expanded(path: str | Path, error_type: type[Nr3dError] = Nr3dError) -> Path:
    """Return a path with its leading ``~`` or ``~user`` replaced by the home folder.

    Args:
        path: any path.
        error_type: class of the error that is raised.

    Raises:
        Nr3dError: of the given class, if there is no such home folder.

    Examples:
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
    """Return the folder that the platform intends for nr3d's caches or settings.

    Args:
        find: function of platformdirs, such as ``user_cache_path``.
        variable: name of the environment variable with which the user can choose another place.
        error_type: class of the error that is raised.

    Raises:
        Nr3dError: of the given class, if the user has no home folder.
    """
    try:
        folder = find("nr3d", appauthor=False)
    except RuntimeError:
        folder = Path("~")
    if folder.parts[:1] == ("~",):  # a ~ that could not be expanded: the user is unknown
        raise error_type(f"There is no home folder for this user: set {variable}, or HOME.")
    return folder
