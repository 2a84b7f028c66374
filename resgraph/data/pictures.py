"""From a picture of any kind and size to the uint8 array that a network takes.

Training and inference both come here, so a picture is the same numbers to both. The size is
reached bicubic, with the whole picture, whatever its proportions.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from resgraph.diagnostics import ResgraphError, plain
from resgraph.limits import BYTES_PER_PIXEL, PICTURE_SCANS, READ_VARIABLE
from resgraph.reading import budget, opened

SUFFIXES = frozenset(
    [".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"]
)
"""What counts as a picture in a folder; a file named by itself may be called anything."""

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What Pillow may decode here: no format with a program inside, such as EPS."""

_JPEG = ("JPEG", "MPO")

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's mode for so many channels."""

_ALPHA = frozenset({"RGBA", "LA", "PA", "RGBa", "La"})


class ScansError(ResgraphError):
    """A JPEG of a few bytes that takes minutes to decode."""


def check_channels(channels: int) -> None:
    """Raise `ResgraphError` for a number of channels that no picture has."""
    if channels not in MODES:
        raise ResgraphError(
            f"pictures have 1, 3 or 4 channels, the network takes {channels}"
        )


def read_picture(
    file: Path | BinaryIO, channels: int, size: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """One picture as [C, H, W], upright as its EXIF data say, transparency over white.

    `size` is the height and width to bring it to; None leaves it as it is.
    Raises `ResgraphError`, whose message says what "it" is, if the picture is unreadable, or
    so large that it may be an attack.
    """
    check_channels(channels)
    mode = MODES[channels]
    _let_pillow_read()
    try:
        with _stream(file) as stream, Image.open(stream, formats=FORMATS) as image:
            _check_pixels(image)
            _check_scans(image.format, stream)
            upright = _eight_bits(ImageOps.exif_transpose(image))
            plain = (upright if mode == "RGBA" else _opaque(upright)).convert(mode)
            array = np.asarray(resized(plain, *size) if size else plain)
    except Image.DecompressionBombError:
        raise ResgraphError(
            f"it has more than {most_pixels():,} pixels, which is refused; set "
            f"{READ_VARIABLE} for more"
        ) from None
    except ResgraphError:
        raise
    except Exception as error:  # Pillow's plugins raise many kinds on damaged files
        raise ResgraphError(_reason(file, error)) from None
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _check_scans(kind: str | None, stream: BinaryIO) -> None:
    """Refuse a JPEG that would be decoded over and over."""
    if kind not in _JPEG:
        return
    stream.seek(0)
    scans = stream.read().count(b"\xff\xda")  # which stand for nothing else in a JPEG
    if scans > PICTURE_SCANS:
        raise ScansError(
            f"it is a JPEG of {scans:,} scans, and {PICTURE_SCANS} are decoded at most",
            "save it anew, with any program",
        )


def most_pixels() -> int:
    """So many can be decoded within the budget."""
    return budget() // BYTES_PER_PIXEL


def _let_pillow_read() -> None:
    """Raise Pillow's own limit where the budget is above it."""
    most = Image.MAX_IMAGE_PIXELS
    if most is not None and most < most_pixels():
        Image.MAX_IMAGE_PIXELS = most_pixels()


def _stream(file: Path | BinaryIO) -> AbstractContextManager[BinaryIO]:
    """The file, open: a regular one of a size within the budget."""
    return opened(file) if isinstance(file, Path) else nullcontext(file)


@contextmanager
def no_size_warnings() -> Iterator[None]:
    """Keep Pillow from warning of large pictures, which `read_picture` refuses.

    Warnings are a matter of the whole process, so this is entered once, before threads.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def resized(image: Image.Image, height: int, width: int) -> Image.Image:
    """The image at that size, bicubic, smoothed where it shrinks."""
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _check_pixels(image: Image.Image) -> None:
    """Refuse what Pillow itself refuses only from twice as many pixels."""
    if image.width * image.height > most_pixels():
        raise Image.DecompressionBombError


def _eight_bits(image: Image.Image) -> Image.Image:
    """The picture with 16 bits per pixel brought to 8, which Pillow would cut off."""
    if not image.mode.startswith("I"):
        return image
    wide = np.asarray(image).astype(np.int64).clip(0, 65535)
    return Image.fromarray((wide >> 8).astype(np.uint8))


def _opaque(image: Image.Image) -> Image.Image:
    """The picture laid over white, if it is transparent anywhere."""
    if image.mode not in _ALPHA and "transparency" not in image.info:
        return image
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer)


def _reason(file: Path | BinaryIO, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is no picture of a known kind"
    return f"it cannot be read: {plain(str(error) or type(error).__name__)}"
