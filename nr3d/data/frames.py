"""Frames of a tracklet: their files, their time order, and their reading."""

from __future__ import annotations

import errno
import os
import re
import unicodedata
from collections.abc import Sequence

from PIL import Image

from nr3d.data.datasets.parts import GivenOrder
from nr3d.data.decoding import MAX_BYTES, Decoded, UndecodableError, decode
from nr3d.data.packs.reading import packed_bytes
from nr3d.errors import DataError, FrameError, reason_of
from nr3d.files.regular_files import NotRegularError, read_regular

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
"""Endings of the names of frames' files, in lower case."""

_NUMBER = re.compile(r"(\d+)")

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors of a process without resources, which are not the fault of a frame."""


def is_image(name: str) -> bool:
    """Return whether a file name is that of an image, and not hidden.

    Examples:
        >>> is_image("0001.JPG"), is_image("._0001.jpg"), is_image("Thumbs.db")
        (True, False, False)
    """
    return name.lower().endswith(IMAGES) and not name.startswith(".")


def by_number(text: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts texts with the numbers in them by value.

    Examples:
        >>> sorted(["a10", "a9"], key=by_number)
        ['a9', 'a10']
    """
    # The first value makes numbers and texts at the same place in two names comparable.
    return [
        (0, *_by_value(part)) if part.isdecimal() else (1, 0, part) for part in _NUMBER.split(text)
    ]


def in_time_order(paths: Sequence[str]) -> tuple[str, ...]:
    """Return a tracklet's frames sorted by name, with numbers sorted by value.

    Some of torchreid's datasets (PRID2011, iLIDS-VID) list a folder in whatever order the file
    system returns. Frames in a
    :class:`nr3d.data.datasets.parts.GivenOrder` stay in it.

    Args:
        paths: paths of the frames, named by one pattern that contains the number of the frame.

    Examples:
        >>> in_time_order(["a/10.png", "a/9.png"])
        ('a/9.png', 'a/10.png')
    """
    if isinstance(paths, GivenOrder):
        return paths

    def key(path: str) -> tuple[list[tuple[int, int, str]], str]:
        # A Path of each of a million frames would take seconds.
        return by_number(os.path.basename(path)), path  # noqa: PTH119

    return tuple(sorted(paths, key=key))


def _by_value(digits: str) -> tuple[int, str]:
    """Return a key that sorts digits by value, however many; ``int`` refuses very long numbers."""
    if not digits.isascii():
        digits = "".join(str(unicodedata.decimal(digit)) for digit in digits)
    digits = digits.lstrip("0")
    return len(digits), digits


def read_frame(path: str, tracklet: str) -> Image.Image:
    """Read one frame, with a single read of its whole file.

    Args:
        path: path of the image file, or the path that stands for it in a pack.
        tracklet: label of its tracklet, for an error.

    Returns:
        Image: the upright image, in RGB of 8 bits; see :func:`nr3d.data.decoding.decode`.

    Raises:
        FrameError: if the file is missing, no regular file, truncated, too large or no usable
            image, or if a pack is damaged there.
        DataError: if the process cannot open another file, which is not the frame's fault.
    """
    return decode_frame(path, tracklet).image


def decode_frame(path: str, tracklet: str) -> Decoded:
    """Read a frame as :func:`read_frame` does, and return how it was stored too.

    Arguments and errors are those of :func:`read_frame`.
    """
    try:
        data = packed_bytes(path)
        return decode(read_regular(path, MAX_BYTES) if data is None else data)
    except DataError:
        raise
    except FileNotFoundError:
        reason = "is missing"
    except (UndecodableError, NotRegularError) as error:
        reason = str(error)
    except OSError as error:
        if error.errno in _EXHAUSTED:
            raise DataError(
                f"Frame {path} cannot be opened ({reason_of(error)}): it is not the frame's fault. "
                "Raise the limit (ulimit -n), or lower data.workers."
            ) from error
        reason = f"cannot be read ({reason_of(error)})"
    # The path is impossible, or there is no memory for the file.
    except (ValueError, MemoryError) as error:
        reason = f"cannot be read ({reason_of(error)})"
    unusable = FrameError(
        f"Frame {path} of tracklet {tracklet} {reason}. Restore the file, or set data.bad_frames "
        "to 'skip' to use the tracklet's other frames."
    )
    unusable.reason = reason
    raise unusable
