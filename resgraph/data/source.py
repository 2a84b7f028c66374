"""What every form of data gives: two sets of images, chunk by chunk, and names of classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from resgraph.diagnostics import ResgraphError, plain
from resgraph.limits import PROBLEMS

Shape = tuple[int, int, int]
"""Channels, height, width."""

Chunk = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Some images [n, C, H, W] and their labels [n]."""

PARTS = ("train", "test")

CHUNK = 256
"""Pictures decoded at a time, so that a set need not fit into memory."""

_TOLD = 5


def some(names: Iterable[str]) -> str:
    """The first few of the names in their order, and how many more there are."""
    known = sorted(names)
    more = f" and {len(known) - _TOLD:,} more" if len(known) > _TOLD else ""
    return ", ".join(map(plain, known[:_TOLD])) + more


class Problems:
    """What is wrong with images or files of a data set: the first few, and how many."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._texts: list[str] = []
        self._count = 0

    def add(self, text: str) -> None:
        """Note one; the text begins with where it is."""
        self._count += 1
        if self._count <= _TOLD:
            self._texts.append(plain(text, 400))
        if self._count == PROBLEMS:
            self._texts.append(f"and more: after {PROBLEMS:,} no others are looked for")
            self.tell()

    def tell(self) -> None:
        """Raise `ResgraphError` if there are any, with all of them in it."""
        if self._count == 1:
            raise ResgraphError(f"{plain(self._name)}, {self._texts[0]}")
        if self._count:
            lines = [f"{plain(self._name)} has {self._count:,} problems:", *self._texts]
            if _TOLD < self._count < PROBLEMS:
                lines.append(f"and {self._count - _TOLD:,} more")
            raise ResgraphError("\n  ".join(lines))


class Opened(Protocol):
    """A source that is being read."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes by label, where the data hold them; else ()."""

    def chunks(self, part: str, problems: Problems) -> Iterator[Chunk]:
        """One of `PARTS`, in its order; what cannot be read is noted and left out.

        Raises `ResgraphError` where nothing of it can be read.
        """


class Source(Protocol):
    """Data in one of the forms that are known, not read yet."""

    @property
    def name(self) -> str:
        """The data set's name."""

    @property
    def variant(self) -> str:
        """What the arrays depend on beside the files: channels, and size where resized."""

    def checksum(self) -> str:
        """SHA-256, in hexadecimal, of all that is read."""

    def opened(self) -> AbstractContextManager[Opened]:
        """Begin to read. Raises `ResgraphError` for what is found wrong at once."""


def cannot_read(path: Path, error: OSError) -> ResgraphError:
    """The error for a file that the system does not give."""
    return ResgraphError(f"cannot read {plain(path)}: {error.strerror or error}")


def of_images(shape: Sequence[int]) -> Shape:
    """What a network takes, as a shape of images.

    Raises `ResgraphError` where it takes none, and so cannot be fed from images.
    """
    if len(shape) != 3:
        raise ResgraphError(
            f"the network takes {called(shape)}, and images are maps [C, H, W]",
            "only a network whose input is [C, H, W] is trained, or tells pictures apart; "
            "any other is compiled, proven, verified and drawn",
        )
    channels, height, width = shape
    return channels, height, width


def called(shape: Sequence[int]) -> str:
    """An input that is no image, in words: `tokens [T, C] = [16, 32]`."""
    names = {1: "a vector [C]", 2: "tokens [T, C]"}
    return f"{names.get(len(shape), 'an input')} = {[*shape]}"


def by(shape: Sequence[int]) -> str:
    """`3 x 32 x 32`."""
    return " x ".join(map(str, shape))
