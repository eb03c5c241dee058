"""Frames of a tracklet: which files they are, their time order, and reading them."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from nr3d.data.packed import packed_bytes
from nr3d.errors import FrameError

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
"""How a frame's file name ends, in small letters."""


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

    def key(path: str) -> tuple[list[tuple[int, int | str]], str]:
        parts = re.split(r"(\d+)", Path(path).name)
        # (0, number) and (1, text) compare whatever stands at the same place in two names.
        return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts], path

    return tuple(sorted(paths, key=key))


def read_frame(path: str, tracklet: str) -> Image.Image:
    """Read one frame whole, once.

    Args:
        path: the image file, or what stands for it in a pack.
        tracklet: what to call its tracklet in an error.

    Returns:
        Image: RGB.

    Raises:
        FrameError: if the file is missing, truncated or not an image, or a pack damaged there.
    """
    try:
        packed = packed_bytes(path)
        with Image.open(path if packed is None else io.BytesIO(packed)) as image:
            whole: Image.Image = image.convert("RGB")
            return whole
    except FileNotFoundError:
        reason = "is missing"
    except Image.DecompressionBombError as error:
        reason = f"is no video frame ({error})"
    except UnidentifiedImageError:
        reason = "is not an image"
    # Pillow's plugins raise SyntaxError, ValueError and more on damaged files.
    except (OSError, SyntaxError, ValueError, IndexError, EOFError) as error:
        reason = f"cannot be read ({error})"
    raise FrameError(
        f"Frame {path} of tracklet {tracklet} {reason}. Restore the file, or set data.bad_frames "
        "to 'skip' to go on with the tracklet's other frames."
    )
