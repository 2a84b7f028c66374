"""Scikit-learn's handwritten digits: real data that need no download.

1,797 images of 8 x 8 pixels, 17 grey levels, ten classes: the test set of the UCI
"Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, 1998). A fifth of them,
drawn from each class alike with a fixed seed, is the test set here.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from resgraph.data.dataset import Dataset
from resgraph.data.moments import mean_and_std
from resgraph.data.pictures import resized
from resgraph.data.source import Shape

RECIPE = {
    "iterations": 500,
    "batch": 32,
    "lr": 0.1,
    "milestones": (300, 425),
    "warmup_iterations": 0,
}
"""A recipe for CIFAR would take hours to no purpose here. What this leaves out, such as
momentum, is as the network's own recipe says; the padding is a pixel of the originals."""

_SPLIT_SEED = 0


def load_digits(input_shape: Shape) -> Dataset:
    """The digits at the size and channels of `input_shape`, not to be mirrored."""
    from sklearn.datasets import load_digits as load
    from sklearn.model_selection import train_test_split

    source = load()
    grey = np.round(source.images * (255 / 16)).astype(np.uint8)
    images = np.stack([_fitted(image, input_shape) for image in grey])
    labels = source.target.astype(np.int64)
    train, test, train_labels, test_labels = train_test_split(
        images, labels, test_size=0.2, stratify=labels, random_state=_SPLIT_SEED
    )
    mean, std = mean_and_std(train)
    contents = hashlib.sha256(grey.tobytes() + labels.tobytes()).hexdigest()
    return Dataset(
        name="digits",
        train_images=train,
        train_labels=train_labels,
        test_images=test,
        test_labels=test_labels,
        classes=tuple(str(digit) for digit in range(10)),
        mean=mean,
        std=std,
        fingerprint=f"sha256:{contents}",
        flip_ok=False,
        recipe=RECIPE | {"pad": max(1, input_shape[1] // 8)},
    )


def _fitted(grey: NDArray[np.uint8], input_shape: Shape) -> NDArray[np.uint8]:
    """One image [8, 8] as [C, H, W]."""
    from PIL import Image

    channels, height, width = input_shape
    sized = np.asarray(resized(Image.fromarray(grey), height, width))
    return np.broadcast_to(sized, (channels, height, width))
