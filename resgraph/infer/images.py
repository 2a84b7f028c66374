"""The pictures that a user names, as the uint8 arrays that a network takes."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resgraph.data.pictures import SUFFIXES, no_size_warnings, read_picture
from resgraph.diagnostics import ResgraphError, plain


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


def find_pictures(inputs: Iterable[str | Path]) -> list[Path]:
    """The files that files, folders (with the folders in them) and patterns stand for.

    Each once. Raises `ResgraphError` if an input is not there, or has no picture in it.
    """
    paths = (path for given in inputs for path in _expand(str(given)))
    return list(dict.fromkeys(paths))


def read_images(
    inputs: Iterable[str | Path], input_shape: tuple[int, int, int]
) -> Pictures:
    """Read files, folders (with the folders in them) and patterns such as `*.png`.

    `input_shape` is the network's channels, height and width. A picture that cannot be
    read is a `Problem`, and the rest are done.
    Raises `ResgraphError` if an input is not there, or has no picture in it.
    """
    return read_files(find_pictures(inputs), input_shape)


def read_files(paths: Iterable[Path], input_shape: tuple[int, int, int]) -> Pictures:
    """Read files, as `read_images` does; also one that is not there is a `Problem`."""
    channels, height, width = input_shape
    images, read, problems = [], [], []
    with no_size_warnings():
        for path in paths:
            try:
                images.append(read_picture(path, channels, (height, width)))
                read.append(path)
            except ResgraphError as error:
                problems.append(Problem(path, error.message))
    empty = np.empty((0, *input_shape), np.uint8)
    stacked = np.stack(images) if images else empty
    return Pictures(stacked, tuple(read), tuple(problems))


def _expand(given: str) -> Iterator[Path]:
    """The pictures that one input stands for."""
    path = Path(given)
    try:
        folder = path.is_dir()
    except OSError as error:  # a name that is too long, links in a circle
        raise ResgraphError(f"{plain(path)}: {error.strerror}") from None
    if folder:
        inside = (p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
        found = sorted(p for p in inside if p.is_file())
        if not found:
            raise ResgraphError(
                f"no pictures in {plain(path)}",
                f"looked for {', '.join(sorted(SUFFIXES))}",
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
                f"no picture {plain(given)}", "name files, folders or patterns"
            )
        yield from files
