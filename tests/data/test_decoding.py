"""Every kind of image comes out as its colours, upright, or is refused by name."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from nr3d.data import decoding
from nr3d.data.decoding import UndecodableError, decode

GREY = np.full((6, 4), 128, np.uint8)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def grey(mode: str) -> Image.Image:
    return Image.fromarray(GREY).convert("RGB").convert(mode)


def sixteen(factor: int = 257) -> Image.Image:
    return Image.fromarray(GREY.astype(np.uint16) * factor)


def checks() -> Image.Image:
    return Image.fromarray((np.indices((6, 4)).sum(0) % 2 * 255).astype(np.uint8)).convert("1")


def palette(colours: int, transparency: object = None) -> bytes:
    """Half of the image at 118, half at 138, by a palette of so many colours."""
    image = Image.fromarray(np.repeat(np.uint8([[0, 1]]), 6, 0).repeat(2, 1)).convert("P")
    image.putpalette(bytes([118] * 3 + [138] * 3 + [7] * 3 * (colours - 2)))
    return saved(image, "PNG", **({} if transparency is None else {"transparency": transparency}))


def tiff(data: bytes, *entries: tuple[int, int, int], order: str = "<") -> bytes:
    """Write an uncompressed TIFF of 6 x 4 pixels by hand: kinds that Pillow does not write."""
    tags = [(256, 3, 4), (257, 3, 6), (259, 3, 1), (273, 4, 8), (277, 3, 1), (278, 3, 6)]
    tags = sorted([*tags, (279, 4, len(data)), *entries])
    at = 8 + len(data)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", at)
    # A short lies at the start of its field of four bytes.
    lines = [
        struct.pack(f"{order}HHI", tag, kind, 1)
        + (struct.pack(f"{order}HH", value, 0) if kind == 3 else struct.pack(f"{order}I", value))
        for tag, kind, value in tags
    ]
    return head + data + struct.pack(f"{order}H", len(tags)) + b"".join(lines) + bytes(4)


def twelve_bits() -> bytes:
    """24 values of 2056, two in three bytes."""
    return bytes([0x80, 0x88, 0x08]) * 12


def png_of_16_bits(colour: int, channels: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    rows = (b"\0" + b"\x80\x80" * 4 * channels) * 6
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 6, 16, colour, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


RIGHT: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: saved(grey("RGB"), "JPEG", quality=95),
    "JPEG, grey": lambda: saved(grey("L"), "JPEG", quality=95),
    "JPEG, progressive": lambda: saved(grey("RGB"), "JPEG", quality=95, progressive=True),
    "JPEG, CMYK": lambda: saved(Image.new("CMYK", (4, 6), (127, 127, 127, 0)), "JPEG", quality=95),
    "JPEG, CMYK, black only": lambda: saved(Image.new("CMYK", (4, 6), (0, 0, 0, 127)), "JPEG"),
    "JPEG, several": lambda: saved(
        grey("RGB"), "MPO", save_all=True, append_images=[Image.new("RGB", (4, 6))]
    ),
    "PNG": lambda: saved(grey("RGB"), "PNG"),
    "PNG, grey": lambda: saved(grey("L"), "PNG"),
    "PNG, alpha": lambda: saved(Image.new("RGBA", (4, 6), (128, 128, 128, 0)), "PNG"),
    "PNG, grey and alpha": lambda: saved(Image.new("LA", (4, 6), (128, 9)), "PNG"),
    "PNG, 1 bit": lambda: saved(checks(), "PNG"),
    "PNG, 16 bits": lambda: saved(sixteen(), "PNG"),
    "PNG, 16 bits, shifted": lambda: saved(sixteen(256), "PNG"),
    "PNG, 16 bits, grey and alpha": lambda: png_of_16_bits(4, 2),
    "PNG, 16 bits, RGB": lambda: png_of_16_bits(2, 3),
    "PNG, 16 bits, RGBA": lambda: png_of_16_bits(6, 4),
    "PNG, palette": lambda: palette(256),
    "PNG, palette of 16": lambda: palette(16),
    "PNG, palette with a colour that is transparent": lambda: palette(4, 1),
    "PNG, palette with shares of transparency": lambda: palette(4, bytes([0, 128])),
    "PNG, a transparent colour": lambda: saved(grey("RGB"), "PNG", transparency=(128, 128, 128)),
    "PNG, a colour profile": lambda: saved(grey("RGB"), "PNG", icc_profile=b"of nobody"),
    "PNG, animated": lambda: saved(
        grey("RGB"), "PNG", save_all=True, append_images=[Image.new("RGB", (4, 6))]
    ),
    "GIF": lambda: saved(grey("L"), "GIF"),
    "GIF, animated": lambda: saved(
        grey("RGB"), "GIF", save_all=True, append_images=[Image.new("RGB", (4, 6))]
    ),
    "BMP": lambda: saved(grey("RGB"), "BMP"),
    "BMP, grey": lambda: saved(grey("L"), "BMP"),
    "BMP, alpha": lambda: saved(Image.new("RGBA", (4, 6), (128, 128, 128, 3)), "BMP"),
    "BMP, 1 bit": lambda: saved(checks(), "BMP"),
    "PPM": lambda: saved(grey("RGB"), "PPM"),
    "PPM, 16 bits": lambda: b"P6 4 6 65535\n" + b"\x80\x80" * 72,
    "PGM": lambda: saved(grey("L"), "PPM"),
    "PGM, 16 bits": lambda: b"P5 4 6 65535\n" + b"\x80\x80" * 24,
    "PGM, 10 bits": lambda: b"P5 4 6 1023\n" + struct.pack(">H", 514) * 24,
    "PGM, 4 bits": lambda: b"P5 4 6 30\n" + b"\x0f" * 24,
    "PGM, plain": lambda: b"P2 4 6 1000\n" + b"502 " * 24,
    "PBM": lambda: saved(checks(), "PPM"),
    "TIFF": lambda: saved(grey("RGB"), "TIFF"),
    "TIFF, grey": lambda: saved(grey("L"), "TIFF"),
    "TIFF, LZW": lambda: saved(grey("RGB"), "TIFF", compression="tiff_lzw"),
    "TIFF, 1 bit": lambda: saved(checks(), "TIFF"),
    "TIFF, fax": lambda: saved(checks(), "TIFF", compression="group4"),
    "TIFF, 12 bits": lambda: tiff(twelve_bits(), (258, 3, 12), (262, 3, 1)),
    "TIFF, 16 bits": lambda: saved(sixteen(), "TIFF"),
    "TIFF, 16 bits, LZW": lambda: saved(sixteen(), "TIFF", compression="tiff_lzw"),
    "TIFF, 16 bits, big end first": lambda: tiff(
        b"\x80\x00" * 24, (258, 3, 16), (262, 3, 1), order=">"
    ),
    "TIFF, white is 0": lambda: tiff(b"\x7f" * 24, (258, 3, 8), (262, 3, 0)),
    "TIFF, alpha": lambda: saved(Image.new("RGBA", (4, 6), (128, 128, 128, 3)), "TIFF"),
    "TIFF, CMYK": lambda: saved(Image.new("CMYK", (4, 6), (127, 127, 127, 0)), "TIFF"),
    "TIFF, YCbCr": lambda: saved(grey("YCbCr"), "TIFF", compression="jpeg", quality=95),
    "TIFF, palette": lambda: saved(grey("L").convert("P"), "TIFF"),
    "TIFF, several": lambda: saved(
        grey("RGB"), "TIFF", save_all=True, append_images=[Image.new("RGB", (4, 6))]
    ),
    "JPEG 2000": lambda: saved(grey("RGB"), "JPEG2000"),
    "JPEG 2000, 16 bits": lambda: saved(sixteen(), "JPEG2000"),
    "WebP": lambda: saved(grey("RGB"), "WEBP", lossless=True),
    "WebP, animated": lambda: saved(
        grey("RGB"), "WEBP", lossless=True, save_all=True, append_images=[Image.new("RGB", (4, 6))]
    ),
    "AVIF": lambda: saved(grey("RGB"), "AVIF", quality=95),
}
NEEDS = {"JPEG 2000": "JPEG2000", "WebP": "WEBP", "AVIF": "AVIF"}


@pytest.mark.parametrize("kind", RIGHT)
def test_a_grey_of_128_is_one_whatever_the_file(kind: str) -> None:
    written = NEEDS.get(kind.partition(",")[0])
    if written and written not in Image.SAVE:
        pytest.skip(f"this Pillow has no {written}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = decode(RIGHT[kind]()).image
    assert (image.mode, image.size) == ("RGB", (4, 6))
    values = np.asarray(image).astype(float)
    assert 127 <= values.mean() <= 129
    assert np.ptp(values) <= (255 if "1 bit" in kind or kind in ("TIFF, fax", "PBM") else 20)


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "int32": (
        lambda: saved(Image.fromarray(GREY.astype(np.int32) << 8), "TIFF"),
        "is a 32-bit integer image, whose range is not known: convert it to 8 bits",
    ),
    "float": (
        lambda: saved(Image.fromarray(GREY.astype(np.float32) / 255), "TIFF"),
        "is a 32-bit float image, whose range is not known: convert it to 8 bits",
    ),
    "PFM": (
        lambda: b"Pf 4 6 -1.0\n" + np.full(24, 0.5, "<f4").tobytes(),
        "is a 32-bit float image, whose range is not known|is not an image",  # older Pillows
    ),
    "signed": (
        lambda: tiff(b"\x00\x40" * 24, (258, 3, 16), (262, 3, 1), (339, 3, 2)),
        "is a 32-bit integer image, whose range is not known",
    ),
    "white": (
        lambda: tiff(b"\x00\x80" * 24, (258, 3, 16), (262, 3, 0)),
        "is a 16-bit TIFF whose white is 0",
    ),
    "empty": (lambda: b"", "is empty"),
    "text": (lambda: b"<html>quota exceeded</html>", "is not an image"),
    # Pillow knows it, and would start another program.
    "PostScript": (lambda: saved(grey("L"), "EPS"), "is not an image"),
    "no pixels": (lambda: b"P5 0 6 255\n", "cannot be read|has 0 x 6 pixels|is not an image"),
    "many pixels": (
        lambda: b"P5 16000 10000 255\n",
        r"has 16,000 x 10,000 pixels, more than any video frame \(36,000,000\)",
    ),
    "too many pixels": (lambda: b"P5 60000 60000 255\n", "is no video frame"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_others_are_refused_by_name(kind: str) -> None:
    make, reason = REFUSED[kind]
    with pytest.raises(UndecodableError, match=f"^{reason}"):
        decode(make())


def test_lab_is_right_or_refused() -> None:
    """Older Pillows do not convert it."""
    try:
        image = decode(saved(Image.new("LAB", (4, 6), (137, 128, 128)), "TIFF")).image
    except UndecodableError as error:
        assert "conversion from LAB to RGB not supported" in str(error)
    else:
        assert np.asarray(image).mean() == pytest.approx(128, abs=1)


def test_a_file_of_any_size_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = saved(grey("L"), "PNG")
    monkeypatch.setattr(decoding, "MAX_BYTES", len(whole) - 1)
    with pytest.raises(UndecodableError, match=rf"has {len(whole)} bytes, more than any video"):
        decode(whole)


@pytest.mark.skipif("AVIF" not in Image.SAVE, reason="this Pillow has no AVIF")
def test_any_error_of_a_plugin_is_a_reason() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    whole = saved(Image.fromarray(pixels), "AVIF")
    pixels_at = whole.index(b"mdat") + 4
    damaged = whole[:pixels_at] + bytes(len(whole) - pixels_at)
    # A RuntimeError of Pillow's.
    with pytest.raises(UndecodableError, match=r"^cannot be read \(Failed to decode frame 0"):
        decode(damaged)


def test_no_memory_for_a_frame_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load_prepare", fail)
    with pytest.raises(UndecodableError, match=r"^cannot be read \(MemoryError\)"):
        decode(saved(grey("L"), "PNG"))


@pytest.mark.parametrize("size", [(1, 1), (65_000, 1), (1, 65_000), (6000, 6000)])
def test_sizes_of_images(size: tuple[int, int]) -> None:
    assert decode(saved(Image.new("1", size), "PNG")).image.size == size


# Orientation


def leaning(orientation: int, kind: str) -> tuple[bytes, Image.Image]:
    """An image stored as its EXIF says, and how it shall look."""
    upright = Image.new("RGB", (32, 48), (10, 20, 30))
    upright.paste((250, 200, 150), (0, 0, 16, 24))
    stored = upright
    # What turns it back: a quarter turn to the other side, the others are their own.
    back = {6: 8, 8: 6}.get(orientation, orientation)
    if back in decoding._UPRIGHT:
        stored = upright.transpose(decoding._UPRIGHT[back])
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if kind == "JPEG" else {}
    return saved(stored, kind, exif=exif, **options), upright


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(10))
def test_the_orientation_of_exif_is_applied(orientation: int, kind: str) -> None:
    data, upright = leaning(orientation, kind)
    found = decode(data)
    assert found.image.size == upright.size
    difference = np.asarray(found.image).astype(int) - np.asarray(upright)
    assert abs(difference).mean() < 6
    assert found.turned == (2 <= orientation <= 8)


def test_an_exif_behind_the_pixels_counts() -> None:
    """As some cameras write PNG."""
    data, upright = leaning(6, "PNG")
    start = data.index(b"eXIf") - 4
    length = 12 + int.from_bytes(data[start : start + 4], "big")
    exif, end = data[start : start + length], data.index(b"IEND") - 4
    moved = data[:start] + data[start + length : end] + exif + data[end:]
    found = decode(moved)
    assert found.turned
    assert np.array_equal(np.asarray(found.image), np.asarray(upright))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"\xff" * 40]
)
def test_a_broken_exif_is_no_error(exif: bytes, kind: str) -> None:
    found = decode(saved(grey("RGB"), kind, exif=exif))
    assert not found.turned
    assert 126 <= np.asarray(found.image).mean() <= 130


@pytest.mark.parametrize("value", ["upright", 2**31, (6, 6), 6.5, b"\6"])
def test_an_orientation_that_is_none_is_not_applied(
    value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image.Image, "getexif", lambda self: {0x0112: value})
    assert not decode(saved(grey("RGB"), "PNG")).turned
