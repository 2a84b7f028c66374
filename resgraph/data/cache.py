"""Decoded images on disk, so that data are decoded once and not for every run.

An entry is a folder: four .npy files and `entry.json`, which holds their checksums. It is
made under another name and then renamed, so an entry is whole or absent; one whose files
no longer have their checksums is thrown away. It is written chunk by chunk and then mapped
into memory, so neither making nor reading it takes memory for all images.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from resgraph.data.checksums import cache_folder, checksum
from resgraph.data.moments import Counts
from resgraph.data.source import PARTS, Problems, Source, by
from resgraph.diagnostics import ResgraphError
from resgraph.files import read_json, write_json
from resgraph.reading import Budget

_FORMAT = 2  # of the entries; another number makes all of them anew
_ABANDONED = 3600  # seconds without a change
_ARRAYS = tuple(f"{part}_{what}" for part in PARTS for what in ("images", "labels"))


class Decoded:
    """What is known of a data set once all of it has been read."""

    def __init__(self, arrays: dict[str, NDArray[Any]], about: dict[str, Any]) -> None:
        self._arrays = arrays
        self.classes = tuple(str(name) for name in about["classes"])
        """Their names by label, where the data hold them; else ()."""
        self.mean = tuple(float(value) for value in about["mean"])
        """Of each channel of the training images, where 255 is 1."""
        self.std = tuple(float(value) for value in about["std"])

    def __getitem__(self, part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Images [N, C, H, W] uint8 and labels [N] int64 of one of `PARTS`."""
        return self._arrays[f"{part}_images"], self._arrays[f"{part}_labels"]


def decoded(source: Source, contents: str) -> Decoded:
    """The source's arrays: from the cache, where it was decoded before, else by decoding.

    `contents` is the source's checksum. A cache that cannot be written is no reason to
    stop; then the arrays are in memory.
    Raises `ResgraphError` if the data are damaged or empty; then nothing is kept.
    """
    folder = cache_folder() / "decoded" / f"{contents}-{source.variant}-v{_FORMAT}"
    found = _load(folder)
    if found is None:
        try:
            _store(folder, source)
        except _UnwritableError:
            return Decoded(*_decode(source, _InMemory))
        found = _load(folder)
    return found or Decoded(*_decode(source, _InMemory))


def _load(folder: Path) -> Decoded | None:
    """The entry, its arrays mapped from disk; None if it is absent or damaged."""
    if not folder.is_dir():  # another process may be about to put it there
        return None
    try:
        about = read_json(folder / "entry.json")
        arrays = {name: _mapped(folder, name, about["sha256"]) for name in _ARRAYS}
        return Decoded(arrays, about)
    except (ResgraphError, OSError, ValueError, KeyError, TypeError):
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _mapped(folder: Path, name: str, checksums: dict[str, str]) -> NDArray[Any]:
    path = folder / f"{name}.npy"
    if checksum([path]) != checksums[name]:
        raise ValueError(f"{path} is damaged")
    # Copy on write: torch takes writable arrays only, and nothing may reach the file.
    array: NDArray[Any] = np.load(path, mmap_mode="c", allow_pickle=False)
    return array


class _UnwritableError(Exception):
    """The cache cannot be written."""


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    """Tell errors in writing the cache from those in reading the data."""
    try:
        yield
    except OSError as error:
        raise _UnwritableError from error


def _store(folder: Path, source: Source) -> None:
    """Make the entry. Raises `_UnwritableError` where that is not possible."""
    with _writing():
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder.parent)
        scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".new-"))
    made = scratch / "entry"  # which others may read, unlike a scratch folder
    try:
        with _writing():
            made.mkdir()
        arrays, about = _decode(source, lambda part: _OnDisk(made, part))
        with _writing():
            for part in PARTS:
                path = made / f"{part}_labels.npy"
                np.save(path, arrays[f"{part}_labels"], allow_pickle=False)
            sums = {name: checksum([made / f"{name}.npy"]) for name in _ARRAYS}
            write_json(made / "entry.json", {"sha256": sums, **about})
            if not folder.exists():  # another process may have been faster
                made.replace(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _remove_abandoned(folder: Path) -> None:
    """Remove what killed processes left: in a living one's, something changes all the time."""
    for scratch in folder.glob(".new-*"):
        with contextlib.suppress(OSError):  # its own process has just finished
            changed = max(p.stat().st_mtime for p in (scratch, *scratch.rglob("*")))
            if time.time() - changed > _ABANDONED:
                shutil.rmtree(scratch, ignore_errors=True)


class _Sink(Protocol):
    """Where the images of one part go."""

    def append(self, images: NDArray[np.uint8]) -> None: ...

    def close(self) -> NDArray[np.uint8]: ...


class _InMemory:
    def __init__(self, part: str) -> None:
        self._images: list[NDArray[np.uint8]] = []
        self._budget = Budget(f"the {part} set, in memory since the cache has no room")

    def append(self, images: NDArray[np.uint8]) -> None:
        self._budget.take(images.nbytes)
        self._images.append(images)

    def close(self) -> NDArray[np.uint8]:
        return np.concatenate(self._images)


class _OnDisk:
    """An .npy file that grows. Its header, which tells the length, is written twice."""

    def __init__(self, folder: Path, part: str) -> None:
        self._path = folder / f"{part}_images.npy"
        self._shape: tuple[int, ...] = ()
        self._count = 0

    def append(self, images: NDArray[np.uint8]) -> None:
        # Through a mapping of the file, a full disk would be the process's death.
        with _writing(), self._path.open("ab") as file:
            if not self._count:
                self._shape = images.shape[1:]
                self._write_header(file)
            file.write(np.ascontiguousarray(images).data)
        self._count += len(images)

    def close(self) -> NDArray[np.uint8]:
        with _writing(), self._path.open("r+b") as file:
            self._write_header(file)
        mapped: NDArray[np.uint8] = np.load(self._path, mmap_mode="r")
        return mapped

    def _write_header(self, file: BinaryIO) -> None:
        """It takes the same room for any count: numpy leaves space for the digits."""
        shape = (self._count, *self._shape)
        about = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, about)


def _decode(
    source: Source, sink: Callable[[str], _Sink]
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """All arrays by their names in the entry, and what else `entry.json` holds."""
    problems, counts = Problems(source.name), Counts()
    arrays: dict[str, NDArray[Any]] = {}
    with source.opened() as opened:
        for part in PARTS:
            images, labels = sink(part), []
            for chunk, its_labels in opened.chunks(part, problems):
                images.append(chunk)
                labels.append(its_labels)
                if part == "train":
                    counts.add(chunk)
            if labels:
                arrays[f"{part}_images"] = images.close()
                arrays[f"{part}_labels"] = np.concatenate(labels)
            else:
                problems.add(f"{part} set: there is no usable image in it")
        problems.tell()
        _check_sizes(source.name, *(arrays[f"{part}_images"] for part in PARTS))
        classes = list(opened.classes)
    mean, std = counts.moments()
    return arrays, {"classes": classes, "mean": mean, "std": std}


def _check_sizes(name: str, train: NDArray[np.uint8], test: NDArray[np.uint8]) -> None:
    if train.shape[1:] != test.shape[1:]:
        raise ResgraphError(
            f"{name}: the training images are {by(train.shape[1:])}, "
            f"the test images {by(test.shape[1:])}",
            "bring all images to one size",
        )
