"""From a stored picture to the uint8 array that a network is trained on.

`resgraph.infer.images` does the same to pictures that it is given, without torch; a test
holds the two together.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's mode for so many channels."""


def resized(image: Image.Image, height: int, width: int) -> Image.Image:
    """The image at that size, bicubic, smoothed where it shrinks."""
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BICUBIC)


def decoded(data: bytes, channels: int) -> NDArray[np.uint8]:
    """A JPEG, PNG or the like as [C, H, W] uint8.

    Raises `OSError`, `ValueError` or the like if the bytes are no whole image.
    """
    with Image.open(io.BytesIO(data)) as image:
        array = np.asarray(image.convert(MODES[channels]))
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
