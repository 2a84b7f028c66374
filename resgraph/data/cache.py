"""Decoded images on disk, so that data are decoded once and not for every run.

An entry is a folder: four .npy files and `entry.json`, which holds their checksums. It is
made under another name and then renamed, so an entry is whole or absent; one whose files
no longer have their checksums is thrown away.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resgraph.diagnostics import ResgraphError
from resgraph.files import read_json, write_json

_FORMAT = 1  # of the entries; another number makes all of them anew


@dataclass(frozen=True, eq=False)
class Decoded:
    """Images [N, C, H, W] uint8, labels [N] int64, and the classes' names."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    classes: tuple[str, ...]


_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/resgraph`, else `~/.cache/resgraph`."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "resgraph"


def checksum(files: Iterable[Path]) -> str:
    """SHA-256, in hexadecimal, of the files' contents in their order."""
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def load(key: str) -> Decoded | None:
    """The entry, its arrays mapped from disk; None if it is absent or damaged."""
    folder = _entry(key)
    try:
        about = read_json(folder / "entry.json")
        arrays = {name: _array(folder, name, about["sha256"]) for name in _ARRAYS}
        return Decoded(**arrays, classes=tuple(about["classes"]))
    except (ResgraphError, OSError, ValueError, KeyError, TypeError):
        shutil.rmtree(folder, ignore_errors=True)
        return None


def store(key: str, decoded: Decoded) -> None:
    """Keep the entry. A cache that cannot be written is no reason to stop training."""
    folder = _entry(key)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as scratch:
            made = Path(scratch) / "entry"
            made.mkdir()
            _write(made, decoded)
            made.replace(folder)
    except OSError:
        return


def _entry(key: str) -> Path:
    return cache_folder() / "decoded" / f"{key}-v{_FORMAT}"


def _array(folder: Path, name: str, checksums: dict[str, str]) -> NDArray[Any]:
    path = folder / f"{name}.npy"
    if checksum([path]) != checksums[name]:
        raise ValueError(f"{path} is damaged")
    # Copy on write: torch takes writable arrays only, and nothing may reach the file.
    array: NDArray[Any] = np.load(path, mmap_mode="c", allow_pickle=False)
    return array


def _write(folder: Path, decoded: Decoded) -> None:
    for name in _ARRAYS:
        np.save(folder / f"{name}.npy", getattr(decoded, name), allow_pickle=False)
    checksums = {name: checksum([folder / f"{name}.npy"]) for name in _ARRAYS}
    about = {"sha256": checksums, "classes": list(decoded.classes)}
    write_json(folder / "entry.json", about)
