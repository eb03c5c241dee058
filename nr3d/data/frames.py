"""Frames of a tracklet: which files they are, their time order, and reading them."""

from __future__ import annotations

import errno
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from nr3d.data.decoding import MAX_BYTES, Decoded, UndecodableError, decode
from nr3d.data.packs.reading import packed_bytes
from nr3d.errors import DataError, FrameError, reason_of
from nr3d.files.regular_files import NotRegularError, read_regular

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
"""How a frame's file name ends, in small letters."""

_NUMBER = re.compile(r"(\d+)")

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""What the process lacks, and another frame would lack as well."""


def is_image(name: str) -> bool:
    """Whether a file name is an image's, and not a hidden one.

    Examples::
        >>> is_image("0001.JPG"), is_image("._0001.jpg"), is_image("Thumbs.db")
        (True, False, False)
    """
    return name.lower().endswith(IMAGES) and not name.startswith(".")


def in_time_order(paths: Sequence[str]) -> tuple[str, ...]:
    """Sort a tracklet's frames by name, numbers by their value.

    Some of torchreid's datasets (PRID2011, iLIDS-VID) list a folder in whatever order the file
    system returns.

    Args:
        paths: frame files, named by one pattern with the frame's number in it.

    Examples::
        >>> in_time_order(["a/10.png", "a/9.png"])
        ('a/9.png', 'a/10.png')
    """

    def key(path: str) -> tuple[list[tuple[int, int, str]], str]:
        parts = _NUMBER.split(Path(path).name)
        # A number and a text compare whatever stands at the same place in two names.
        return [(0, *_by_value(part)) if part.isdecimal() else (1, 0, part) for part in parts], path

    return tuple(sorted(paths, key=key))


def _by_value(digits: str) -> tuple[int, str]:
    """Give what sorts as a number of any length does, which ``int`` refuses."""
    if not digits.isascii():
        digits = "".join(str(unicodedata.decimal(digit)) for digit in digits)
    digits = digits.lstrip("0")
    return len(digits), digits


def read_frame(path: str, tracklet: str) -> Image.Image:
    """Read one frame whole, once.

    Args:
        path: the image file, or what stands for it in a pack.
        tracklet: what to call its tracklet in an error.

    Returns:
        Image: RGB of 8 bits, upright: see :func:`nr3d.data.decoding.decode`.

    Raises:
        FrameError: if the file is missing, no file, truncated, too large or not a usable image, or
            a pack damaged there.
        DataError: if the process cannot open another file, which says nothing of the frame.
    """
    return decode_frame(path, tracklet).image


def decode_frame(path: str, tracklet: str) -> Decoded:
    """Read a frame as :func:`read_frame` does, and say how it was stored.

    Raises:
        FrameError: as for :func:`read_frame`.
        DataError: likewise.
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
    # A path that cannot be one, or no memory for the file.
    except (ValueError, MemoryError) as error:
        reason = f"cannot be read ({reason_of(error)})"
    unusable = FrameError(
        f"Frame {path} of tracklet {tracklet} {reason}. Restore the file, or set data.bad_frames "
        "to 'skip' to go on with the tracklet's other frames."
    )
    unusable.reason = reason
    raise unusable
