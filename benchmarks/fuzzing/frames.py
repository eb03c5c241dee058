"""Image files of every kind that Pillow writes, whatever their name.

Bits, blocks and lengths are changed, including those that a decoder checks first: the sizes in the
headers, and the content of PNG chunks, whose checksums are then corrected.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from fuzzing import RIGHT, UNCHECKED, WrongError, damaged, refusal
from nr3d.data import read_frame
from nr3d.data.decoding import MAX_PIXELS
from nr3d.errors import FrameError

WIDTH, HEIGHT = 24, 40


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a person"
    return exif


def _kinds(pixels: np.ndarray) -> Mapping[str, tuple[Image.Image, str, dict[str, object]]]:
    rgb = Image.fromarray(pixels)
    grey = rgb.convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    half = Image.fromarray(np.asarray(grey).astype(np.float32) / 255)

    def more() -> dict[str, object]:
        return {"save_all": True, "append_images": [rgb.rotate(180)]}

    return {
        "jpeg": (rgb, "JPEG", {"quality": 90}),
        "jpeg grey": (grey, "JPEG", {}),
        "jpeg progressive": (rgb, "JPEG", {"progressive": True, "exif": _exif()}),
        "jpeg cmyk": (rgb.convert("CMYK"), "JPEG", {}),
        "mpo": (rgb, "MPO", more()),
        "png": (rgb, "PNG", {"exif": _exif(), "icc_profile": b"a profile" * 20}),
        "png grey": (grey, "PNG", {}),
        "png alpha": (rgb.convert("RGBA"), "PNG", {}),
        "png 1": (rgb.convert("1"), "PNG", {}),
        "png 16": (deep, "PNG", {}),
        "png palette": (rgb.convert("P"), "PNG", {"transparency": bytes(range(20))}),
        "png animated": (rgb, "PNG", more()),
        "gif": (rgb, "GIF", more()),
        "bmp": (rgb, "BMP", {}),
        "bmp palette": (grey, "BMP", {}),
        "ppm": (rgb, "PPM", {}),
        "pgm": (grey, "PPM", {}),
        "pgm 16": (deep, "PPM", {}),
        "pbm": (rgb.convert("1"), "PPM", {}),
        "tiff": (rgb, "TIFF", {"exif": _exif()}),
        "tiff lzw": (rgb, "TIFF", {"compression": "tiff_lzw"}),
        "tiff deflate": (grey, "TIFF", {"compression": "tiff_adobe_deflate"}),
        "tiff jpeg": (rgb, "TIFF", {"compression": "jpeg"}),
        "tiff fax": (rgb.convert("1"), "TIFF", {"compression": "group4"}),
        "tiff 16": (deep, "TIFF", {}),
        "tiff 16 lzw": (deep, "TIFF", {"compression": "tiff_lzw"}),
        "tiff float": (half, "TIFF", {}),
        "tiff ycbcr": (rgb.convert("YCbCr"), "TIFF", {}),
        "tiff several": (rgb, "TIFF", more()),
        "webp": (rgb, "WEBP", {"exif": _exif().tobytes()}),
        "webp lossless": (rgb.convert("RGBA"), "WEBP", {"lossless": True}),
        "webp animated": (rgb, "WEBP", more()),
        "avif": (rgb, "AVIF", {"exif": _exif().tobytes()}),
        "jpeg 2000": (rgb, "JPEG2000", {}),
    }


def make(folder: Path) -> Callable[[np.random.Generator], str]:
    smooth = np.add.outer(np.arange(HEIGHT) * 4, np.arange(WIDTH) * 3)
    noise = np.random.default_rng(0).integers(0, 40, (HEIGHT, WIDTH, 3))
    pixels = (smooth[..., None] + noise).astype(np.uint8)
    path = folder / "frame.jpg"  # for all formats: the name must not matter
    files: list[bytes] = []
    right: list[bytes | None] = []
    Image.init()
    for image, kind, options in _kinds(pixels).values():
        file = io.BytesIO()
        try:
            image.copy().save(file, kind, **options)  # saving stores its options in the image
        except (KeyError, OSError):
            continue  # an older Pillow cannot write this format
        files.append(file.getvalue())
        path.write_bytes(files[-1])
        try:
            right.append(read_frame(str(path), "a tracklet").tobytes())
        except FrameError:
            right.append(None)

    def attempt(rng: np.random.Generator) -> str:
        which = int(rng.integers(len(files)))
        data = files[which]
        edit = _EDITS[int(rng.integers(len(_EDITS)))]
        path.write_bytes(edit(data, rng))
        try:
            frame = read_frame(str(path), "a tracklet")
        except FrameError as error:
            return refusal(error, str(path), "of tracklet a tracklet")
        if right[which] is None and edit is _as_it_is:
            raise WrongError("an image that was refused is read")
        if frame.mode != "RGB" or not 0 < frame.width * frame.height <= MAX_PIXELS:
            raise WrongError(f"{frame.mode} of {frame.size}")
        found = frame.tobytes()
        if len(found) != 3 * frame.width * frame.height:
            raise WrongError(f"{len(found)} bytes of {frame.size}")
        if found == right[which]:
            return RIGHT
        if edit is _as_it_is:
            raise WrongError("another image")
        return UNCHECKED

    return attempt


def _as_it_is(data: bytes, rng: np.random.Generator) -> bytes:
    return data


def _of_another_size(data: bytes, rng: np.random.Generator) -> bytes:
    """Replace one of the sizes, as text or in 2 or 4 bytes, by another number."""
    size = int(rng.choice([WIDTH, HEIGHT, WIDTH - 1, HEIGHT - 1]))
    other = int(rng.choice([0, 1, 7, 200, 5000, 6500, 36_000, 65_535, 2**24, 2**31 - 1, 2**32 - 1]))
    forms = [struct.pack(f"{order}{form}", size) for order in "<>" for form in "HI"]
    texts = [struct.pack(f"{order}{form}", other % 2 ** (8 * struct.calcsize(form)))
             for order in "<>" for form in "HI"]  # fmt: skip
    both = list(zip([*forms, str(size).encode()], [*texts, str(other).encode()], strict=True))
    found = [(old, new) for old, new in both if old in data[:400] or old in data[-400:]]
    if not found:
        return damaged(data, rng)
    old, new = found[int(rng.integers(len(found)))]
    at = data.find(old) if rng.integers(2) else data.rfind(old)
    return _checked(data[:at] + new + data[at + len(old) :])


def _swapped(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a copy of a file with two neighbouring parts swapped."""
    a, b, c = sorted(int(at) for at in rng.integers(0, len(data) + 1, 3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def _without_checksums(data: bytes, rng: np.random.Generator) -> bytes:
    return _checked(damaged(data, rng))


def _checked(data: bytes) -> bytes:
    """Correct the checksums of a PNG's chunks, as far as the chunks can be followed."""
    if not data.startswith(b"\x89PNG"):
        return data
    made, at = bytearray(data), 8
    while at + 12 <= len(made):
        length = int.from_bytes(made[at : at + 4], "big")
        end = at + 8 + length
        if end + 4 > len(made):
            break
        made[end : end + 4] = zlib.crc32(made[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(made)


_EDITS: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    *(damaged, damaged, _without_checksums, _without_checksums, _of_another_size),
    *(_of_another_size, _swapped, _as_it_is),
)
