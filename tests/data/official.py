"""Small archives in exactly the formats of the official ones."""

from __future__ import annotations

import io
import pickle
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from resgraph.data.names import CLASSES

BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
PER_BATCH = 4
SHAPE = (3, 32, 32)


def images(seed: int, count: int = PER_BATCH) -> np.ndarray:
    """[count, 3072] uint8: three channels, row by row."""
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), np.uint8)


def labels(seed: int, classes: int, count: int = PER_BATCH) -> list[int]:
    return [(7 * seed + 3 * number) % classes for number in range(count)]


def python2(value: Mapping[bytes, Any]) -> bytes:
    """Protocol 2, as of Python 2: arrays by `numpy.core`, and text as bytes."""
    data = pickle.dumps(value, protocol=2).replace(b"numpy._core.", b"numpy.core.")
    return re.sub(rb"c__builtin__\nbytes\nq.\)R", b"U\0", data)  # an empty text


def cifar10_python() -> dict[str, bytes]:
    files = {
        name: python2(
            {
                b"batch_label": b"training batch 1 of 5",
                b"labels": labels(seed, 10),
                b"data": images(seed),
                b"filenames": [b"leptodactylus_pentadactylus_s_000004.png"] * PER_BATCH,
            }
        )
        for seed, name in enumerate(BATCHES)
    }
    meta = {
        b"num_cases_per_batch": PER_BATCH,
        b"label_names": [name.encode() for name in CLASSES["cifar10"]],
        b"num_vis": 3072,
    }
    return {**files, "batches.meta": python2(meta), "readme.html": b"<html></html>"}


def cifar10_binary() -> dict[str, bytes]:
    files = {
        f"{name}.bin": _records(images(seed), labels(seed, 10))
        for seed, name in enumerate(BATCHES)
    }
    names = "\n".join(CLASSES["cifar10"]) + "\n\n"
    return {**files, "batches.meta.txt": names.encode()}


def cifar100_python() -> dict[str, bytes]:
    files = {
        name: python2(
            {
                b"filenames": [b"taurus_s_000507.png"] * count,
                b"batch_label": b"training batch 1 of 1",
                b"fine_labels": labels(seed, 100, count),
                b"coarse_labels": labels(seed, 20, count),
                b"data": images(seed, count),
            }
        )
        for seed, (name, count) in enumerate([("train", 10), ("test", 4)])
    }
    meta = {
        b"fine_label_names": [name.encode() for name in CLASSES["cifar100"]],
        b"coarse_label_names": [b"fish"] * 20,
    }
    return {**files, "meta": python2(meta), "file.txt~": b""}


def cifar100_binary() -> dict[str, bytes]:
    files = {
        f"{name}.bin": _records(
            images(seed, count), labels(seed, 20, count), labels(seed, 100, count)
        )
        for seed, (name, count) in enumerate([("train", 10), ("test", 4)])
    }
    fine = "\n".join(CLASSES["cifar100"]) + "\n"
    return {**files, "fine_label_names.txt": fine.encode()}


def _records(pixels: np.ndarray, *columns: list[int]) -> bytes:
    lines = zip(*columns, pixels, strict=True)
    return b"".join(bytes(line[:-1]) + line[-1].tobytes() for line in lines)


FILES = {
    "cifar-10-python.tar.gz": ("cifar-10-batches-py", cifar10_python),
    "cifar-10-binary.tar.gz": ("cifar-10-batches-bin", cifar10_binary),
    "cifar-100-python.tar.gz": ("cifar-100-python", cifar100_python),
    "cifar-100-binary.tar.gz": ("cifar-100-binary", cifar100_binary),
}
"""By the archive's name: its folder, and what makes its files."""


def pack(path: Path, files: Mapping[str, bytes], mode: str = "w:gz") -> Path:
    """Write a tar archive with members of these names."""
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, contents in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            tar.addfile(member, io.BytesIO(contents))
    return path


def archive(folder: Path, name: str, **changed: bytes | None) -> Path:
    """An official archive, with some files changed, or without those that are None."""
    top, make = FILES[name]
    files = {**make(), **changed}
    kept = {f"{top}/{n}": data for n, data in files.items() if data is not None}
    return pack(folder / name, kept)


def unpacked(folder: Path, name: str, **changed: bytes | None) -> Path:
    """The same as a folder."""
    top, make = FILES[name]
    made = folder / top
    made.mkdir(parents=True)
    for file, contents in {**make(), **changed}.items():
        if contents is not None:
            (made / file).write_bytes(contents)
    return made
