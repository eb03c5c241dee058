"""Safe standard output and error for the commands, whatever they are connected to.

Control sequences are escaped, as names and messages from files and servers may hold some that
control a terminal. Characters that the encoding lacks are replaced. An output that is closed or
full does not end a command.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

_ACTED_ON = re.compile(
    # Controls except tab and newline, and characters that are invisible or reverse the direction.
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)
_CURSOR = re.compile("[\r\n]*(\x1b\\[A)*")
"""Cursor movements of a progress bar, which it writes separately."""

_PLAIN = {"×": "x", "±": "+-", "–": "-", "—": "-", "…": "...", "·": ".", "→": "->"}
"""Replacements for our own signs if the encoding lacks them."""


def escaped(text: str) -> str:
    r"""Return a text with terminal control characters escaped.

    Examples:
        >>> print(escaped("red \x1b[31m"))
        red \x1b[31m
    """
    return _ACTED_ON.sub(lambda found: ascii(found[0])[1:-1], text)


def _encodable(text: str, encoding: str) -> str:
    """Replace the characters that an encoding lacks."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        for sign, plain in _PLAIN.items():
            with contextlib.suppress(UnicodeEncodeError):
                sign.encode(encoding)
                continue
            text = text.replace(sign, plain)
        return text.encode(encoding, "backslashreplace").decode(encoding)
    return text


class Output:
    """Wrapper of a standard stream; all other attributes are the stream's own.

    Args:
        stream: the stream; None if the process was started without it.
        bars: whether it shows progress bars, which return to the start of the line.

    Attributes:
        error: error that ended the stream; None while it is open.
    """

    def __init__(self, stream: TextIO | None, *, bars: bool = False) -> None:
        self.missing = stream is None
        self.stream: Any = stream or Path(os.devnull).open("w")  # noqa: SIM115
        self.bars = bars
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write a text with escapes, or nothing once the stream has ended."""
        if self.error is None:
            safe = text
            if not (self.bars and _CURSOR.fullmatch(text)):
                parts = text.split("\r") if self.bars else [text]
                safe = "\r".join(map(escaped, parts))
            try:
                self.stream.write(_encodable(safe, self.stream.encoding or "utf-8"))
            except (OSError, ValueError) as error:
                self._end(error)
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        if self.error is None:
            try:
                self.stream.flush()
            except (OSError, ValueError) as error:
                self._end(error)

    def close_own(self) -> None:
        """Flush the stream, and close it if it was opened here."""
        self.flush()
        if self.missing:
            self.stream.close()

    def _end(self, error: OSError | ValueError) -> None:
        """Record why nothing more can be written, and discard the rest."""
        closed = OSError(errno.EPIPE, "it was closed")
        self.error = error if isinstance(error, OSError) else closed
        # At its end the interpreter would try once more to write what the stream still holds.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            descriptor = self.stream.fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
            self.stream.flush()


class _Outputs:
    """Standard output and error of a command."""

    def __init__(self, out: Output, err: Output) -> None:
        self.out, self.err = out, err

    def closed(self) -> str | None:
        """Return why standard output cannot be written; None if it can, or if nobody reads it."""
        error = self.out.error
        if error is None or isinstance(error, BrokenPipeError) or error.errno == errno.EPIPE:
            return None
        return error.strerror or str(error)

    @property
    def unread(self) -> bool:
        """Whether the reader of standard output has gone."""
        return self.out.error is not None and self.closed() is None


@contextlib.contextmanager
def outputs() -> Iterator[_Outputs]:
    """Print through :class:`Output` in a block, and flush at its end."""
    _fill_missing_descriptors()
    before = sys.stdout, sys.stderr
    found = _Outputs(Output(sys.stdout), Output(sys.stderr, bars=True))
    sys.stdout, sys.stderr = found.out, found.err
    try:
        yield found
    finally:
        sys.stdout, sys.stderr = before
        found.out.close_own()
        found.err.close_own()


def _fill_missing_descriptors() -> None:
    """Open missing standard streams; otherwise the next file opened would get their number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != descriptor:
                os.dup2(nowhere, descriptor)
                os.close(nowhere)
