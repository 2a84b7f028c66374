"""Data sets for training: what they are, how to come by one, whether one fits a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resgraph.diagnostics import ResgraphError

Shape = tuple[int, int, int]
"""Channels, height, width."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels of a training and a test set, as they are before augmentation."""

    name: str
    train_images: NDArray[np.uint8]
    """[N, C, H, W] uint8."""
    train_labels: NDArray[np.int64]
    """[N] int64, the index into `classes`."""
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    """Per channel of the training images, on the scale where 255 is 1."""
    std: tuple[float, ...]
    """Per channel, on the same scale."""
    fingerprint: str
    """`sha256:` of what the images were read from."""
    flip_ok: bool = True
    """Whether an image's mirror image belongs to the same class."""
    recipe: Mapping[str, Any] | None = None
    """Fields of the training recipe that replace the generated file's, where that was
    written for other data."""

    @property
    def shape(self) -> Shape:
        """Channels, height and width of an image."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width

    def check_fits(self, input_shape: Shape, outputs: int) -> None:
        """Raise `ResgraphError` unless images and classes are what a network takes."""
        if self.shape != tuple(input_shape):
            raise ResgraphError(
                f"{self.name} has images of {_by(self.shape)}, "
                f"the network takes {_by(input_shape)}",
                f"give the spec's network `input: {list(self.shape)}` and compile it",
            )
        if len(self.classes) != outputs:
            raise ResgraphError(
                f"{self.name} has {len(self.classes)} classes, "
                f"the network tells {outputs} apart",
                f"compile it with --set classes={len(self.classes)}",
            )


def dataset(
    name: str,
    train: tuple[NDArray[np.uint8], NDArray[np.int64]],
    test: tuple[NDArray[np.uint8], NDArray[np.int64]],
    classes: tuple[str, ...],
    fingerprint: str,
    *,
    flip_ok: bool = True,
    recipe: Mapping[str, Any] | None = None,
) -> Dataset:
    """A data set from arrays of images and labels, with its mean and deviation.

    Raises `ResgraphError` if a set is empty or a label is not the index of a class.
    """
    for part, (images, labels) in (("training", train), ("test", test)):
        if not len(images):
            raise ResgraphError(f"{name}: the {part} set is empty")
        if labels.min() < 0 or labels.max() >= len(classes):
            raise ResgraphError(
                f"{name}: the {part} labels run from {labels.min()} to {labels.max()}, "
                f"which are not the indices of {len(classes)} classes"
            )
    mean, std = mean_and_std(train[0])
    return Dataset(
        name=name,
        train_images=train[0],
        train_labels=train[1],
        test_images=test[0],
        test_labels=test[1],
        classes=classes,
        mean=mean,
        std=std,
        fingerprint=fingerprint,
        flip_ok=flip_ok,
        recipe=recipe,
    )


def mean_and_std(
    images: NDArray[np.uint8],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Each channel's mean and deviation over [N, C, H, W] uint8, where 255 is 1.

    They come from counts of the 256 values, exact and without a copy in floats. A channel
    of one value has deviation 1, so that dividing by it is harmless.
    """
    values = np.arange(256) / 255
    moments = []
    for channel in range(images.shape[1]):
        counts = np.bincount(images[:, channel].reshape(-1), minlength=256)
        share = counts / counts.sum()
        mean = float(share @ values)
        moments.append((mean, float(share @ (values - mean) ** 2) ** 0.5 or 1.0))
    return tuple(m for m, _ in moments), tuple(s for _, s in moments)


def load_data(name_or_path: str | Path, input_shape: Shape) -> Dataset:
    """Load a data set for a network that takes `input_shape`.

    `digits`: 1,797 handwritten digits that scikit-learn ships. `cifar10`, `cifar100`:
    from `$RESGRAPH_DATA/NAME`, `data/NAME`, `../shared/data/NAME`, an earlier download,
    or the hub. Else a folder with train*.parquet and test*.parquet, in the columns that
    `datasets` uses: `img` or `image`, and `label` or `fine_label`.

    Raises `ResgraphError` if the data cannot be found, or are damaged.
    """
    from resgraph.data.digits import load_digits
    from resgraph.data.parquet import load_folder
    from resgraph.data.places import HUB, find

    name = str(name_or_path)
    if name == "digits":
        return load_digits(input_shape)
    if name in HUB:
        return load_folder(find(name), input_shape, name)
    if not Path(name).is_dir():
        raise ResgraphError(
            f"no data set '{name}', and no folder of that name",
            f"known: digits, {', '.join(HUB)}; or a folder with train*.parquet and "
            "test*.parquet",
        )
    return load_folder(Path(name), input_shape)


def _by(shape: Shape) -> str:
    return " x ".join(map(str, shape))
