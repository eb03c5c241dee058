"""The errors that nr3d raises for what its user can put right.

Each message says what is wrong, the value that was found, what was expected and what to do next.
The command line prints it as one line and exits with status 2.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import reprlib
from collections.abc import Iterator
from pathlib import Path

_LONGEST_REASON = 200
"""Number of characters shown of another library's message."""


class Nr3dError(Exception):
    """Base class of all errors that the user of nr3d can put right."""


class RegistrationError(Nr3dError):
    """A name that nr3d registers is taken in torchreid, or torchreid lacks what nr3d needs."""


class ConfigError(Nr3dError, ValueError):
    """A configuration key, value or file cannot be used."""


class DataError(Nr3dError):
    """A dataset or one of its tracklets cannot be used."""


class FrameError(DataError, OSError):
    """A frame is missing, truncated or not an image.

    Attributes:
        reason: description of the fault, as a phrase that follows the frame's name in a message.
    """

    reason: str = ""


class WeightsError(Nr3dError):
    """Pretrained weights or a checkpoint cannot be found, verified or loaded."""


class FeatureStoreError(Nr3dError):
    """A feature store is missing, damaged, of another version or made with other settings."""


class OutputError(Nr3dError, OSError):
    """A file cannot be written: the disk is full, or its folder cannot be written to.

    Attributes:
        reason: cause of the failure, in the words of the operating system where it is known.
    """

    reason: str = ""


def reason_of(error: BaseException) -> str:
    """Return the text of another library's error for use within a message of nr3d.

    Args:
        error: any exception.

    Returns:
        str: the message on one line, at most 200 characters long and without control characters;
        the name of the exception's type if it has no message.

    Examples:
        >>> reason_of(ValueError("bad header" + chr(10) + "  at byte 9"))
        'bad header at byte 9'
        >>> reason_of(EOFError())
        'EOFError'
    """
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an error whose message cannot be made has none
        text = ""
    return printable(text).rstrip(".:") or type(error).__name__


def printable(text: str, longest: int = _LONGEST_REASON) -> str:
    """Return foreign text in a form that is safe to print within a message.

    Args:
        text: any text, such as a header, a title or a name that a server sent.
        longest: greatest number of characters that are shown.

    Returns:
        str: the text on one line, without control characters.

    Examples:
        >>> printable("two" + chr(10) + "lines", 5)
        'two l…'
    """
    text = "".join(c if c.isprintable() else " " for c in text[: 4 * longest])
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[:longest]}…"


def shown(value: object, longest: int = 80) -> str:
    """Return a short text for a foreign value, for use within a message.

    Args:
        value: any value, however large or deep; a string is shown in quotes.
        longest: greatest number of characters that are shown.

    Returns:
        str: the ``repr`` of the value on one line, abbreviated and without control characters; the
        name of its type if it has no ``repr``.

    Examples:
        >>> shown("mars"), shown(10**20), len(shown("x" * 10_000))
        ("'mars'", '100000000000000000000', 80)
        >>> shown([1, [2, [3, [4, [5]]]]])
        '[1, [2, [3, [...]]]]'
    """
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother = 3, longest, longest
    short.maxlong, short.maxlist, short.maxtuple, short.maxdict = longest, 12, 12, 12
    try:
        text = short.repr(value)
    except Exception:  # noqa: BLE001 - for example an integer of too many digits
        return f"a value of type {type(value).__name__}"
    return printable(text, longest)


@contextlib.contextmanager
def parsing(
    path: str | Path,
    expected: str,
    advice: str,
    error_type: type[Nr3dError] = DataError,
) -> Iterator[None]:
    """Turn whatever a parser raises on foreign bytes into one error that names the file.

    Errors of nr3d and interrupts pass through unchanged.

    Args:
        path: file that is parsed.
        expected: kind of file that was expected, such as ``"a MATLAB table"``.
        advice: advice to the user, as a whole sentence.
        error_type: class of the error that is raised.

    Raises:
        Nr3dError: of the given class, if the block raises any other exception.

    Examples:
        >>> import json
        >>> with parsing("splits.json", "a list of splits", "Fetch it again."):
        ...     json.loads("[1, 2")
        Traceback (most recent call last):
        nr3d.errors.DataError: splits.json cannot be read as a list of splits (Expecting ',' \
delimiter: line 1 column 6 (char 5)). Fetch it again.
    """
    try:
        yield
    except Nr3dError:
        raise
    except Exception as error:
        raise error_type(
            f"{path} cannot be read as {expected} ({reason_of(error)}). {advice}"
        ) from error


@contextlib.contextmanager
def writing(path: str | Path, partial: Path | None = None) -> Iterator[None]:
    """Turn what a library raises when a file cannot be written into one error that names the file.

    Errors of nr3d and refused locks pass through unchanged, and so does an error of the operating
    system about any other file.

    Args:
        path: file that is written.
        partial: temporary file or folder that is written first and then renamed to ``path``.

    Raises:
        OutputError: if the file cannot be written; its ``errno`` is that of the cause, if known.

    Examples:
        >>> with writing("log/result.json"):
        ...     raise OSError(errno.ENOSPC, "No space left on device")
        Traceback (most recent call last):
        nr3d.errors.OutputError: log/result.json cannot be written (No space left on device): \
free some space.
    """
    try:
        yield
    except (Nr3dError, BlockingIOError):
        raise
    except OSError as error:
        if not _concerns(error, Path(path), partial):
            raise
        known = error if error.errno is not None else _reason_for(partial)
        raise _unwritable(path, known or error) from error
    except Exception as error:
        # Libraries with writers of their own, torch and safetensors among them, drop the number.
        if not _OF_WRITING.search(f"{type(error).__name__}: {error}"):
            raise
        raise _unwritable(path, _reason_for(partial) or error) from error


_OF_WRITING = re.compile(
    r"PytorchStreamWriter|inline_container|file write failed|unexpected pos|I/O error|os error|"
    r"No space left|errno = |unable to (create|write|flush|close|lock|open) file|can't write",
    re.IGNORECASE,
)
"""Words in errors other than OSError which mean that a file cannot be written."""

_ADVICE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space, or have your quota raised",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EACCES: "make its folder writable, or write elsewhere",
    errno.EPERM: "make its folder writable, or write elsewhere",
    errno.EROFS: "write elsewhere",
    errno.ENAMETOOLONG: "give it a shorter name",
}


def _concerns(error: OSError, path: Path, partial: Path | None) -> bool:
    """Return whether an error is about a file, its temporary file or a folder above them."""
    named = {Path(n) for n in (error.filename, error.filename2) if isinstance(n, str | os.PathLike)}
    if not named or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    places = {path, path.absolute(), *([] if partial is None else [partial, partial.absolute()])}
    within = {partial, partial.absolute()} if partial else set()
    return any(named & {place, *place.parents} for place in places) or any(
        within & set(one.parents) for one in named
    )


def _reason_for(partial: Path | None) -> OSError | None:
    """Return the operating system's reason why a file cannot be written; None if it can."""
    if partial is None:
        return None
    try:
        with partial.open("ab") as file:
            file.write(bytes(1 << 20))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error
    return None


def _unwritable(path: str | Path, error: Exception) -> OutputError:
    number = error.errno if isinstance(error, OSError) else None
    reason = os.strerror(number) if number is not None else reason_of(error)
    advice = _ADVICE.get(
        number or 0, "free some space, make its folder writable, or write elsewhere"
    )
    found = OutputError(f"{path} cannot be written ({reason}): {advice}.")
    found.errno, found.reason = number, reason
    return found
