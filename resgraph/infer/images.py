"""Pictures of any kind and size, as the uint8 arrays that a network takes.

The size is reached as in training: bicubic, the whole picture, whatever its proportions.
"""

from __future__ import annotations

import glob
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from resgraph.diagnostics import ResgraphError

SUFFIXES = frozenset(
    [".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"]
)
"""What counts as a picture in a folder; a file named by itself may be called anything."""

_MODES = {1: "L", 3: "RGB"}
_ALPHA = frozenset({"RGBA", "LA", "PA", "RGBa", "La"})


@dataclass(frozen=True)
class Problem:
    """A picture that could not be read, and why."""

    path: Path
    message: str


@dataclass(frozen=True, eq=False)
class Pictures:
    """The pictures that could be read, and the ones that could not."""

    images: NDArray[np.uint8]
    """[N, C, H, W]."""
    paths: tuple[Path, ...]
    """Where each image is from."""
    problems: tuple[Problem, ...]


def read_images(
    inputs: Iterable[str | Path], input_shape: tuple[int, int, int]
) -> Pictures:
    """Read files, folders (with the folders in them) and patterns such as `*.png`.

    `input_shape` is the network's channels, height and width. A picture that cannot be
    read is a `Problem`, and the rest are done.
    Raises `ResgraphError` if an input is not there, or has no picture in it.
    """
    paths = [path for given in inputs for path in _expand(str(given))]
    images, read, problems = [], [], []
    for path in dict.fromkeys(paths):
        try:
            images.append(read_image(path, input_shape))
            read.append(path)
        except ResgraphError as error:
            problems.append(Problem(path, error.message))
    empty = np.empty((0, *input_shape), np.uint8)
    stacked = np.stack(images) if images else empty
    return Pictures(stacked, tuple(read), tuple(problems))


def read_image(path: Path, input_shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """One picture as [C, H, W], upright as its EXIF data say, transparency over white.

    Raises `ResgraphError` if it is unreadable, or so large that it may be an attack.
    """
    channels, height, width = input_shape
    if channels not in _MODES:
        raise ResgraphError(
            f"pictures have 1 or 3 channels, the network takes {channels}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image)
                plain = _opaque(_eight_bits(upright)).convert(_MODES[channels])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ResgraphError(
            f"it has more than {Image.MAX_IMAGE_PIXELS:,} pixels, which is refused"
        ) from None
    except Exception as error:  # Pillow's plugins raise many kinds on damaged files
        raise ResgraphError(_reason(path, error)) from None
    array = np.asarray(_resized(plain, height, width))
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _expand(given: str) -> Iterator[Path]:
    """The pictures that one input stands for."""
    path = Path(given)
    if path.is_dir():
        inside = (p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
        found = sorted(p for p in inside if p.is_file())
        if not found:
            raise ResgraphError(
                f"no pictures in {path}", f"looked for {', '.join(sorted(SUFFIXES))}"
            )
        yield from found
    elif path.exists():
        yield path
    else:
        # Of pathlib's patterns none may be absolute, and a user's may.
        matches = glob.glob(given, recursive=True)  # noqa: PTH207
        files = sorted(Path(match) for match in matches if Path(match).is_file())
        if not files:
            raise ResgraphError(
                f"no picture {given}", "name files, folders or patterns"
            )
        yield from files


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


def _resized(image: Image.Image, height: int, width: int) -> Image.Image:
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is no picture of a known kind"
    if path.is_dir():
        return "it is a folder"
    return f"it cannot be read: {error or type(error).__name__}"
