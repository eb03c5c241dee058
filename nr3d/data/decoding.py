"""Decoding of image files to upright RGB images of 8 bits."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from nr3d.errors import reason_of

MAX_PIXELS = 36_000_000
"""Largest number of pixels of a frame; 8K video has 35 million, of about 12 bytes in memory."""

MAX_BYTES = 256 * 2**20
"""Largest size of a frame's file, in bytes; :data:`MAX_PIXELS` in RGB of 16 bits take less."""

CONVERT = "convert it to 8 bits"
"""Ending of the reason for an image that is whole, but of a kind that is not used."""

# Imported before threads and processes start, which would wait for each other's imports.
for _plugin in ("Jpeg", "Mpo", "Png", "Bmp", "Ppm", "Tiff", "WebP", "Gif", "Avif", "Jpeg2K"):
    with contextlib.suppress(ImportError):  # older Pillows read no AVIF
        importlib.import_module(f"PIL.{_plugin}ImagePlugin")

_FORMATS = tuple(
    name
    for name in ("JPEG", "PNG", "BMP", "DIB", "PPM", "TIFF", "WEBP", "GIF", "AVIF", "JPEG2000")
    if name in Image.OPEN
)
"""Formats that a frame may have, whatever its name; Pillow starts Ghostscript for another one."""

_EIGHT_BITS = {"1", "L", "LA", "P", "PA", "CMYK", "YCbCr", "HSV", "LAB"}
_EIGHT_BITS |= {"RGB", "RGBA", "RGBX", "RGBa"}
"""Pillow's modes that convert to RGB in a defined way."""

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transpositions that turn a stored image upright, by EXIF's orientation; 1 is upright."""

# Tags of TIFF, and a value of the second one.
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0


class UndecodableError(ValueError):
    """Error for bytes that are no usable image; its message follows a file's name: "is empty"."""


@dataclass(frozen=True)
class Decoded:
    """An image, and how it was stored.

    Args:
        image: the upright image, in RGB.
        turned: whether EXIF says that the image is not stored upright.
    """

    image: Image.Image
    turned: bool


def decode(data: bytes) -> Decoded:
    """Decode the content of an image file.

    The first image of an animation or of a file of several images is taken. Alpha and colour
    profiles are ignored. Images of 16 bits keep their upper 8 bits. EXIF's orientation is applied.

    Args:
        data: content of the whole file.

    Raises:
        UndecodableError: if the content is no image, is damaged, is larger than any frame, or has
            values of an unknown range.
    """
    if not data:
        raise UndecodableError("is empty")
    if len(data) > MAX_BYTES:
        raise UndecodableError(
            f"has {len(data):,} bytes, more than any video frame ({MAX_BYTES:,})"
        )
    _quiet()
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            _refuse_size(image)
            # Pillow turns a TIFF while loading it, and a PNG may hold its EXIF behind its pixels.
            turned = image.format == "TIFF" and _orientation(image) in _UPRIGHT
            image.load()
            orientation = _orientation(image)
            whole = _eight_bits(image).convert("RGB")
        del image  # and its memory
        if orientation in _UPRIGHT:
            whole, turned = whole.transpose(_UPRIGHT[orientation]), True
        return Decoded(whole, turned)
    except UndecodableError:
        raise
    except UnidentifiedImageError:
        raise UndecodableError("is not an image") from None
    except Image.DecompressionBombError as error:
        raise UndecodableError(f"is no video frame ({reason_of(error)})") from error
    # Pillow's plugins raise all kinds of errors on damaged files: OSError, SyntaxError, …
    except Exception as error:
        raise UndecodableError(f"cannot be read ({reason_of(error)})") from error


@functools.cache
def _quiet() -> None:
    """Silence Pillow's warnings, about things that do not matter here or raise an error anyway."""
    warnings.filterwarnings("ignore", module=r"PIL\.")


def _refuse_size(image: Image.Image) -> None:
    width, height = image.size
    if not width or not height:
        raise UndecodableError(f"has {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise UndecodableError(
            f"has {width:,} x {height:,} pixels, more than any video frame ({MAX_PIXELS:,})"
        )


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - the image may be whole although its EXIF is broken
        return 1
    return orientation if isinstance(orientation, int) else 1


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return an image with 8 bits a value, or refuse it."""
    mode = image.mode
    if mode in _EIGHT_BITS:
        # Pillow would warn about it without using it.
        image.info.pop("transparency", None)
        return image
    if mode.startswith("I;16") or (mode == "I" and image.format in ("PNG", "PPM")):
        bits = 16
        if image.format == "TIFF":
            bits = _bits_of_tiff(image)
        values = np.asarray(image) >> (bits - 8)
        return Image.fromarray(values.clip(0, 255).astype(np.uint8))
    kind = {"I": "a 32-bit integer", "F": "a 32-bit float"}.get(mode)
    if kind is None:
        raise UndecodableError(f"is an image of mode {mode}: {CONVERT}")
    raise UndecodableError(f"is {kind} image, whose range is not known: {CONVERT}")


def _bits_of_tiff(image: Image.Image) -> int:
    """Return the number of bits of a TIFF's values, 12 or 16."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        raise UndecodableError(
            f"is a 16-bit TIFF whose white is 0, which Pillow reads as black: {CONVERT}"
        )
    return int(tags.get(_BITS, (16,))[0])
