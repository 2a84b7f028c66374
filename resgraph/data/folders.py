"""Folders of pictures: train/CLASS/ and test/CLASS/ or val/CLASS/."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resgraph.data import source
from resgraph.data.checksums import checksum
from resgraph.data.pictures import SUFFIXES, no_size_warnings, read_picture
from resgraph.data.source import PARTS, Chunk, Problems, Shape, cannot_read, some
from resgraph.diagnostics import ResgraphError, plain, plural
from resgraph.reading import budget, chunk_budget

_FOLDERS = {"train": ("train",), "test": ("test", "val")}
_THREADS = min(8, os.cpu_count() or 1)


class ImageFolder:
    """Pictures of any size, brought to the network's; a class's folder may have folders.

    Hidden files and folders, and files that are no pictures by their names, do not count.
    The classes are the folders' names in alphabetical order.
    """

    def __init__(self, folder: Path, shape: Shape, name: str) -> None:
        """Look at the names. Raises `ResgraphError` with all that is wrong with them."""
        self.name = name
        self.shape = shape
        self.variant = "-".join(map(str, shape))
        self.folder = folder
        self.pictures: dict[str, dict[str, list[Path]]] = {}
        problems = Problems(name)
        for part in PARTS:
            self.pictures[part] = _pictures(folder, part, problems)
        if all(self.pictures.values()):
            _check_classes(self.pictures, problems)
        problems.tell()
        self.classes = tuple(self.pictures["train"])

    @property
    def files(self) -> list[Path]:
        """All pictures, in the order in which they are read."""
        classes = (c for part in PARTS for c in self.pictures[part].values())
        return [file for files in classes for file in files]

    def checksum(self) -> str:
        """Of the pictures' names and contents."""
        files = self.files
        names = [file.relative_to(self.folder).as_posix() for file in files]
        return checksum(files, names, budget())

    @contextlib.contextmanager
    def opened(self) -> Iterator[ImageFolder]:
        """Begin to read."""
        with no_size_warnings():
            yield self

    def chunks(self, part: str, problems: Problems) -> Iterator[Chunk]:
        """Pictures are decoded by several threads, `source.CHUNK` at a time."""
        named = [
            (file, label)
            for label, files in enumerate(self.pictures[part].values())
            for file in files
        ]
        most = max(1, min(source.CHUNK, chunk_budget() // math.prod(self.shape)))
        with ThreadPoolExecutor(_THREADS) as pool:
            for start in range(0, len(named), most):
                chunk = named[start : start + most]
                images, labels = [], []
                decoded = pool.map(self._decoded, (file for file, _ in chunk))
                for (file, label), image in zip(chunk, decoded, strict=True):
                    if isinstance(image, ResgraphError):
                        where = file.relative_to(self.folder).as_posix()
                        problems.add(f"{where}: {image.message}")
                    else:
                        images.append(image)
                        labels.append(label)
                if images:
                    yield np.stack(images), np.array(labels, np.int64)

    def _decoded(self, file: Path) -> NDArray[np.uint8] | ResgraphError:
        channels, height, width = self.shape
        try:
            return read_picture(file, channels, (height, width))
        except ResgraphError as error:
            return error


def _pictures(folder: Path, part: str, problems: Problems) -> dict[str, list[Path]]:
    """The pictures of one part by class, both in alphabetical order."""
    for name in _FOLDERS[part]:
        top = folder / name
        # ImageNet has a test/ without classes beside its val/.
        if top.is_dir() and (classes := _folders(top)):
            break
    else:
        wanted = " or ".join(f"{name}/" for name in _FOLDERS[part])
        problems.add(
            f"there is no {wanted} with a folder for each class in {plain(folder)}"
        )
        return {}
    if stray := [p.name for p in top.iterdir() if _is_picture(p)]:
        count = f"{len(stray)} {plural(len(stray), 'picture')}"
        problems.add(f"{name}/: {count}, such as {min(stray)}, in no class's folder")
    found = {path.name: sorted(_inside(path)) for path in classes}
    for label, files in found.items():
        if not files:
            problems.add(f"{name}/{label}: there is no picture in it")
    return found


def _folders(top: Path) -> list[Path]:
    try:
        inside = [p for p in top.iterdir() if not p.name.startswith(".") and p.is_dir()]
    except OSError as error:
        raise cannot_read(top, error) from None
    return sorted(inside, key=lambda path: path.name)


def _inside(folder: Path) -> Iterator[Path]:
    """The pictures in a folder and in those in it."""
    for place, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (
            path for path in (Path(place, f) for f in files) if _is_picture(path)
        )


def _refuse(error: OSError) -> None:
    raise cannot_read(Path(error.filename), error)


def _is_picture(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return not hidden and path.suffix.lower() in SUFFIXES and path.is_file()


def _check_classes(
    pictures: dict[str, dict[str, list[Path]]], problems: Problems
) -> None:
    train, test = (pictures[part].keys() for part in PARTS)
    for what, classes in (
        ("there are classes that the training set lacks", test - train),
        ("classes are lacking", train - test),
    ):
        if classes:
            problems.add(f"test set: {what}: {some(classes)}")
