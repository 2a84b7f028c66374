"""Data sets for training: what they are, and whether one fits a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resgraph.data.source import Shape, by, of_images
from resgraph.diagnostics import ResgraphError


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels of a training and a test set, as they are before augmentation.

    Raises `ResgraphError` if a label is not the index of a class.
    """

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

    def __post_init__(self) -> None:
        for part, labels in (
            ("training", self.train_labels),
            ("test", self.test_labels),
        ):
            if labels.min() < 0 or labels.max() >= len(self.classes):
                raise ResgraphError(
                    f"{self.name}: the {part} labels run from {labels.min()} to "
                    f"{labels.max()}, which are not the indices of "
                    f"{len(self.classes)} classes"
                )

    @property
    def shape(self) -> Shape:
        """Channels, height and width of an image."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width

    def check_fits(self, input_shape: Sequence[int], outputs: int) -> None:
        """Raise `ResgraphError` unless images and classes are what a network takes."""
        if self.shape != of_images(input_shape):
            raise ResgraphError(
                f"{self.name} has images of {by(self.shape)}, "
                f"the network takes {by(input_shape)}",
                f"give the spec's network `input: {list(self.shape)}` and compile it",
            )
        if len(self.classes) != outputs:
            raise ResgraphError(
                f"{self.name} has {len(self.classes)} classes, "
                f"the network tells {outputs} apart",
                f"compile it with --set classes={len(self.classes)}",
            )


def load_data(name_or_path: str | Path, input_shape: Sequence[int]) -> Dataset:
    """Load a data set for a network that takes `input_shape` (channels, height, width).

    `digits`: 1,797 handwritten digits that scikit-learn ships. `cifar10`, `cifar100` (its
    100 fine classes): found beside the project or in `$RESGRAPH_DATA`, in any form below,
    or downloaded. Else a path: one of the official CIFAR archives, packed or unpacked; a
    folder with train*.parquet and test*.parquet; a folder with train/CLASS/ and test/CLASS/
    or val/CLASS/, whose pictures are brought to the network's size. docs/data.md tells all.

    Images are decoded once and then mapped from a cache under the data's checksum.
    Raises `ResgraphError` if the data cannot be found, or are damaged, or if the network
    takes no images.
    """
    from resgraph.data import places
    from resgraph.data.cache import decoded
    from resgraph.data.digits import load_digits
    from resgraph.data.forms import source_at
    from resgraph.data.names import class_names
    from resgraph.data.pictures import check_channels

    shape = of_images(input_shape)
    if str(name_or_path) == "digits":
        return load_digits(shape)
    check_channels(shape[0])
    known = str(name_or_path) in places.HUB
    path = places.find(str(name_or_path)) if known else Path(name_or_path)
    source = source_at(path, shape, str(name_or_path) if known else None)
    contents = source.checksum()
    found = decoded(source, contents)
    (train, train_labels), (test, test_labels) = found["train"], found["test"]
    count = 1 + max(int(train_labels.max()), int(test_labels.max()))
    return Dataset(
        name=source.name,
        train_images=train,
        train_labels=train_labels,
        test_images=test,
        test_labels=test_labels,
        classes=class_names(source.name, count, found.classes),
        mean=found.mean,
        std=found.std,
        fingerprint=f"sha256:{contents}",
    )
