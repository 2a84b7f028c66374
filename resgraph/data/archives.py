"""The official CIFAR archives, binary and for Python, packed and unpacked.

Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009). An image is 3,072
bytes: its red, green and blue channel, each row by row. The binary files have one or two
bytes of labels before each image; the files for Python are pickles.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resgraph.data import pickles
from resgraph.data.checksums import checksum
from resgraph.data.members import Folder, Members, Packed, check_size
from resgraph.data.names import CLASSES
from resgraph.data.pictures import MODES
from resgraph.data.source import Chunk, Problems
from resgraph.diagnostics import ResgraphError, plain
from resgraph.limits import ARCHIVE_BYTES, MEMBER_BYTES

_IMAGE = (3, 32, 32)
_PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class Form:
    """One of the four official archives. Of CIFAR-100's labels the 100 fine ones count."""

    data: str
    archive: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    names: str
    """The file with the classes' names."""
    read: Callable[[bytes, Form], tuple[NDArray[np.uint8], NDArray[np.int64]]]
    """A batch's images [n, 3072] and labels; raises `ValueError` with the reason."""
    read_names: Callable[[bytes, Form], Sequence[str]]
    labels: tuple[int, ...]
    """How many classes each label of an image tells apart; the last label counts."""
    keys: tuple[bytes, bytes] = (b"", b"")
    """Where a pickle has the labels and the classes' names."""

    @property
    def batches(self) -> tuple[str, ...]:
        return self.train + self.test


def _binary(data: bytes, form: Form) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    columns = len(form.labels)
    record = columns + _PIXELS
    if not data or len(data) % record:
        raise ValueError(
            f"its length of {len(data):,} bytes is no multiple of {record:,}: it is cut "
            "short, or something else"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, record)
    labels = records[:, :columns].astype(np.int64)
    for column, count in enumerate(form.labels):
        _check_labels(labels[:, column], count)
    return records[:, columns:], labels[:, -1]


def _pickled(data: bytes, form: Form) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    batch = _dict(data)
    images, labels = pickles.bytes_array(batch.get(b"data")), batch.get(form.keys[0])
    if images.shape[1:] != (_PIXELS,) or not len(images):
        raise ValueError(f"its images are {images.shape}, and not [n, {_PIXELS:,}]")
    if not isinstance(labels, list) or not all(type(n) is int for n in labels):
        raise ValueError("its labels are not a list of whole numbers")
    if len(labels) != len(images):
        raise ValueError(f"it has {len(images):,} images and {len(labels):,} labels")
    _check_labels(labels, form.labels[-1])
    return images, np.array(labels, np.int64)


def _check_labels(labels: Sequence[int] | NDArray[np.int64], count: int) -> None:
    array = np.asarray(labels)
    for number in np.flatnonzero((array < 0) | (array >= count))[:1]:
        raise ValueError(
            f"its image {number} has the label {array[number]}, which is not below {count}"
        )


def _dict(data: bytes) -> dict[Any, Any]:
    value = pickles.load(data)
    if not isinstance(value, dict):
        raise ValueError("it is no dict")
    return value


def _text_names(data: bytes, _form: Form) -> Sequence[str]:
    return data.decode("ascii").split()


def _pickled_names(data: bytes, form: Form) -> Sequence[str]:
    names = _dict(data).get(form.keys[1])
    if not isinstance(names, list) or not all(isinstance(n, bytes) for n in names):
        raise ValueError("it has no list of names")
    return [name.decode("ascii") for name in names]


_FIVE = tuple(f"data_batch_{number}" for number in range(1, 6))
FORMS = (
    Form(
        data="cifar10",
        archive="cifar-10-python.tar.gz",
        folder="cifar-10-batches-py",
        train=_FIVE,
        test=("test_batch",),
        names="batches.meta",
        read=_pickled,
        read_names=_pickled_names,
        labels=(10,),
        keys=(b"labels", b"label_names"),
    ),
    Form(
        data="cifar10",
        archive="cifar-10-binary.tar.gz",
        folder="cifar-10-batches-bin",
        train=tuple(f"{name}.bin" for name in _FIVE),
        test=("test_batch.bin",),
        names="batches.meta.txt",
        read=_binary,
        read_names=_text_names,
        labels=(10,),
    ),
    Form(
        data="cifar100",
        archive="cifar-100-python.tar.gz",
        folder="cifar-100-python",
        train=("train",),
        test=("test",),
        names="meta",
        read=_pickled,
        read_names=_pickled_names,
        labels=(100,),
        keys=(b"fine_labels", b"fine_label_names"),
    ),
    Form(
        data="cifar100",
        archive="cifar-100-binary.tar.gz",
        folder="cifar-100-binary",
        train=("train.bin",),
        test=("test.bin",),
        names="fine_label_names.txt",
        read=_binary,
        read_names=_text_names,
        labels=(20, 100),
    ),
)
_WANTED = frozenset(name for form in FORMS for name in (*form.batches, form.names))


def form_of(path: Path) -> Form | None:
    """Which form a folder's files are, or what an archive's name says; None if none."""
    if path.is_dir():
        return _best(Folder(path, _WANTED))
    return next((form for form in FORMS if path.name == form.archive), None)


def _best(members: Members) -> Form | None:
    """The form of which most batches are there."""
    best = max(FORMS, key=lambda form: sum(n in members.names for n in form.batches))
    return best if any(name in members.names for name in best.batches) else None


class Archive:
    """One of the official archives: the tar file, or the folder that it holds."""

    def __init__(self, path: Path, channels: int, name: str) -> None:
        self.name = name
        self.variant = str(channels)
        self.path = path
        self.channels = channels

    def checksum(self) -> str:
        """Of the archive, or of the files in the folder that are read."""
        if not self.path.is_dir():
            check_size(self.path, ARCHIVE_BYTES)
            return checksum([self.path])
        names = sorted(Folder(self.path, _WANTED).names)
        for name in names:
            check_size(self.path / name, MEMBER_BYTES)
        return checksum([self.path / name for name in names], names)

    @contextlib.contextmanager
    def opened(self) -> Iterator[_Batches]:
        """Begin to read. Raises `ResgraphError` if a batch is not there."""
        kind = Folder if self.path.is_dir() else Packed
        members = kind(self.path, _WANTED)
        form = _best(members)
        if form is None:
            raise ResgraphError(
                f"{plain(self.path)} holds no file of a CIFAR archive",
                f"the official ones are {', '.join(form.archive for form in FORMS)}",
            )
        if lacking := [name for name in form.batches if name not in members.names]:
            raise ResgraphError(
                f"{plain(self.path)} lacks {', '.join(lacking)}", "get the archive anew"
            )
        yield _Batches(members, form, self.channels)


class _Batches:
    def __init__(self, members: Members, form: Form, channels: int) -> None:
        self._members = members
        self._form = form
        self._channels = channels
        self._size: int | None = None
        self.classes: tuple[str, ...] = CLASSES[form.data]

    def chunks(self, part: str, problems: Problems) -> Iterator[Chunk]:
        """A batch at a time, as the files are."""
        if part == "train":
            self._read_names(problems)
        for name in self._form.train if part == "train" else self._form.test:
            try:
                images, labels = self._form.read(self._members.read(name), self._form)
                self._check_size(len(images))
            except ValueError as error:
                problems.add(f"{name}: {error}")
            else:
                yield _converted(images.reshape(-1, *_IMAGE), self._channels), labels

    def _check_size(self, size: int) -> None:
        """CIFAR-10's batches are all alike, so one that is not may have lost its end."""
        if len(self._form.train) > 1:
            self._size = self._size or size
            if size != self._size:
                raise ValueError(
                    f"it has {size:,} images, and those before it {self._size:,}"
                )

    def _read_names(self, problems: Problems) -> None:
        """The classes' names; the known ones serve where the file is not there."""
        name, count = self._form.names, self._form.labels[-1]
        if name not in self._members.names:
            return
        try:
            names = self._form.read_names(self._members.read(name), self._form)
            if len(set(names)) != count or len(names) != count:
                raise ValueError(f"it has not the names of {count} classes")
            self.classes = tuple(names)
        except ValueError as error:  # also bytes that are no ASCII
            problems.add(f"{name}: {error}")


def _converted(images: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """[n, 3, 32, 32] as grey or with an alpha channel, as `read_picture` would make it."""
    if channels == len(_IMAGE):
        return images
    count, _, height, width = images.shape
    column = Image.fromarray(images.transpose(0, 2, 3, 1).reshape(-1, width, 3))
    array = np.asarray(column.convert(MODES[channels]))
    return array.reshape(count, height, width, channels).transpose(0, 3, 1, 2)
